/** What rrep uses to write Parquet: a bundle of its own, loaded only where that is asked for. */
export { ByteWriter, ParquetWriter } from 'hyparquet-writer'
