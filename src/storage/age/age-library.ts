/** What rrep uses of the library of age: a bundle of its own, loaded only where something is encrypted. */
export { Decrypter, Encrypter } from 'age-encryption'
