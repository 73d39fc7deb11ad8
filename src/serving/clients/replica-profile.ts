/** What a client told of itself with REPLCONF, AUTH and CLIENT: pure, one reply per request. */
import type { Request } from './request-parser.js'
import { errorReply, OK } from './replies.js'

export class ReplicaProfile {
  /** 0: none, or none that can be connected to. */
  listeningPort = 0
  ipAddress: string | undefined
  readonly capabilities = new Set<string>()
  /** REPLCONF version (Valkey 8.0 and newer). */
  valkeyVersion: string | undefined
  rdbOnly = false
  /** `""` is an empty snapshot; undefined: everything. */
  rdbFilter: '' | undefined
  name = ''

  /** Applies the option pairs of one REPLCONF (but `ack` and `getack`) and returns the reply. */
  configure(request: Request): Buffer {
    if (request.length % 2 === 0) return errorReply('ERR syntax error')
    for (let index = 1; index < request.length; index += 2) {
      const problem = this.#set(request[index]!.toString('latin1'), request[index + 1]!)
      if (problem !== undefined) return errorReply(problem)
    }
    return OK
  }

  #set(option: string, bytes: Buffer): string | undefined {
    const value = bytes.toString('latin1')
    switch (option.toLowerCase()) {
      case 'listening-port':
        if (!/^\d{1,5}$/.test(value) || Number(value) > 65_535) {
          return 'ERR value is not an integer or out of range'
        }
        this.listeningPort = Number(value)
        return undefined
      case 'ip-address':
        if (!/^[\w.:-]{1,255}$/.test(value)) return 'ERR REPLCONF ip-address is not an address'
        this.ipAddress = value
        return undefined
      case 'capa':
        if (this.capabilities.size < 32) this.capabilities.add(value.toLowerCase())
        return undefined
      case 'version':
        if (!/^\d+\.\d+\.\d+/.test(value)) {
          return 'ERR Unrecognized version format: wanted major.minor.patch'
        }
        this.valkeyVersion = value
        return undefined
      case 'rdb-only':
        this.rdbOnly = value === '1'
        return undefined
      case 'rdb-filter-only':
        return this.#setFilter(value)
      // An uncompressed snapshot would have to be made anew: the wish is heard, and LZF strings
      // are something every server reads.
      case 'rdb-no-compress':
      case 'set-cluster-node-id':
        return undefined
      default:
        return `ERR Unrecognized REPLCONF option: ${option}`
    }
  }

  #setFilter(value: string): string | undefined {
    if (value.trim() === '') {
      this.rdbFilter = ''
      return undefined
    }
    return `ERR REPLCONF rdb-filter-only: this master serves snapshots whole or empty, not ${value}`
  }
}
