/**
 * `node --import tsx upload-raw.lib.ts FILE BUCKET KEY`: the file in parts, one behind the other, and
 * nothing else: what a store takes at best. Credentials come from the environment.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'

const PART_BYTES = 16 << 20
const [file = '', Bucket = '', Key = ''] = process.argv.slice(2)
const client = new S3Client({
  forcePathStyle: true,
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
})
const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
const fd = openSync(file, 'r')
const count = Math.ceil(fstatSync(fd).size / PART_BYTES)
const tags: { PartNumber: number; ETag: string | undefined }[] = []
const buffer = Buffer.allocUnsafe(PART_BYTES)
for (let part = 0; part < count; part += 1) {
  const bytes = readSync(fd, buffer, 0, PART_BYTES, part * PART_BYTES)
  const PartNumber = part + 1
  const Body = buffer.subarray(0, bytes)
  const { ETag } = await client.send(
    new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }),
  )
  tags.push({ PartNumber, ETag })
}
closeSync(fd)
await client.send(
  new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: tags } }),
)
