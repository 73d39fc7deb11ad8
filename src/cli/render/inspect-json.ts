/** The object that `inspect --json` prints: names and shapes are a contract with scripts. */
import type { InspectResult, KeyFacts, ReadOutcome } from '../../verbs/inspect/run.js'
import { textOrBase64 } from '../../bytes/key-text.js'
import { reportObject } from './inspect-report.js'

export function summaryObject(result: InspectResult): object {
  return {
    event: 'inspected',
    ...outcomeObject(result),
    aux: Object.fromEntries(result.aux),
    functions: result.functions,
    keys: result.keys,
    expires: result.expires,
    memory: result.memory,
    datasetMemory: result.datasetMemory,
    tableMemory: result.tableMemory,
    types: Object.fromEntries(
      result.types.map(([name, row]) => [
        name,
        {
          keys: row.keys,
          elements: row.elements,
          memory: Math.round(row.memory),
          largest: row.largest === undefined ? null : largestObject(row.largest),
        },
      ]),
    ),
    encodings: Object.fromEntries(
      result.encodings.map(([name, row]) => [
        name,
        { keys: row.keys, elements: row.elements, memory: Math.round(row.memory) },
      ]),
    ),
    databases: Object.fromEntries(
      result.databases.map(([db, row]) => [
        String(db),
        { keys: row.keys, expires: row.expires, memory: Math.round(row.memory) },
      ]),
    ),
    ttl: Object.fromEntries(
      result.ttl.map((row) => [row.name, { keys: row.keys, memory: row.memory }]),
    ),
    top: result.top.map((key) => ({
      db: key.dbnum,
      ...textOrBase64('key', key.key),
      type: key.type,
      encoding: key.encoding,
      memory: key.memory,
      elements: key.elements,
      expireAt: key.expireAtMs === -1 ? null : key.expireAtMs,
    })),
    prefixes: result.prefixes.map((row) => ({
      ...textOrBase64('prefix', row.prefix),
      keys: row.keys,
      memory: row.memory,
      ...(row.merged > 0 ? { merged: row.merged } : {}),
    })),
    ...(result.filteredOut > 0 ? { filteredOut: result.filteredOut } : {}),
    ...(result.report === undefined ? {} : { report: reportObject(result.report) }),
  }
}

/** What `--check --json` prints: the file, not its keys. */
export function outcomeObject(outcome: ReadOutcome): object {
  return {
    file: outcome.file,
    bytes: outcome.bytes,
    rdbVersion: outcome.rdbVersion,
    family: outcome.family,
    // Damage before the checksum was reached is a bad file all the same.
    checksum: outcome.checksum === 'unchecked' ? 'bad' : outcome.checksum,
    complete: outcome.complete,
    ...(outcome.compression === 'none' ? {} : { compression: outcome.compression }),
    ...(outcome.trailingBytes > 0 ? { trailingBytes: outcome.trailingBytes } : {}),
    ...(outcome.increments === undefined ? {} : { increments: outcome.increments }),
    ...(outcome.commandsLeftOut > 0 ? { commandsLeftOut: outcome.commandsLeftOut } : {}),
    ...(outcome.built === undefined
      ? {}
      : { built: { server: outcome.built.server, complete: outcome.built.complete } }),
    ...(Object.keys(outcome.notices).length > 0 ? { notices: outcome.notices } : {}),
    ...(outcome.lostRegions === 0
      ? {}
      : {
          lostRegions: outcome.lostRegions,
          lostBytes: outcome.lostBytes,
          lost: outcome.lost.map((region) => ({
            fromByte: region.fromByte,
            toByte: region.toByte,
            recovery: region.recovery,
            db: region.dbnum,
            dbCertain: region.dbnumCertain,
            ...(region.key === undefined ? {} : { key: region.key }),
            error: region.error.message,
          })),
        }),
  }
}

function largestObject(key: KeyFacts): object {
  return { db: key.dbnum, ...textOrBase64('key', key.key), memory: key.memory }
}
