/** A certificate authority and certificates made with openssl for one test run. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TestCertificates {
  dir: string
  ca: string
  /** For `localhost`, 127.0.0.1 and ::1. */
  cert: string
  key: string
  clientCert: string
  clientKey: string
  /** A second authority, of which nothing here is signed. */
  otherCa: string
  remove(): void
}

export function makeCertificates(): TestCertificates {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-certs-'))
  const path = (name: string): string => join(dir, name)
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { stdio: 'pipe' })
  }
  const authority = (name: string): void =>
    openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-subj', `/CN=${name}`],
      ...['-keyout', path(`${name}.key`), '-out', path(`${name}.crt`)],
    )
  const signed = (name: string, extension: string): void => {
    openssl(
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=${name}`, '-keyout', path(`${name}.key`), '-out', path(`${name}.csr`)],
    )
    writeFileSync(path(`${name}.ext`), extension)
    openssl(
      ...['x509', '-req', '-in', path(`${name}.csr`), '-CA', path('ca.crt'), '-CAkey'],
      ...[path('ca.key'), '-CAcreateserial', '-days', '2', '-out', path(`${name}.crt`)],
      ...['-extfile', path(`${name}.ext`)],
    )
  }
  authority('ca')
  authority('other-ca')
  signed('server', 'subjectAltName=DNS:localhost,DNS:redis.test,IP:127.0.0.1,IP:::1\n')
  signed('client', 'extendedKeyUsage=clientAuth\n')
  return {
    dir,
    ca: path('ca.crt'),
    cert: path('server.crt'),
    key: path('server.key'),
    clientCert: path('client.crt'),
    clientKey: path('client.key'),
    otherCa: path('other-ca.crt'),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}
