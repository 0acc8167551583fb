// Checks proofs of inclusion with the code that Sigstore's clients check theirs with. Reads what /log/entries/{i} answers,
// an array of such objects, and the verifier key; says which entry fails.
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

// The package does not export these two by name.
const base = process.env.NODE_PATH.split(':').map((dir) => join(dir, '@sigstore/verify/dist/tlog'));
const load = (name) => {
  for (const dir of base) {
    try {
      return createRequire(import.meta.url)(join(dir, name));
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  process.exit(77);
};
const { verifyCheckpoint } = load('checkpoint.js');
const { verifyMerkleInclusion } = load('merkle.js');

const [, , proofs, vkey] = process.argv;
const [name, id, key] = readFileSync(vkey, 'utf8').trim().split('\n')[0].match(/^([^+]+)\+([0-9a-f]{8})\+(.+)$/).slice(1);
// An Ed25519 public key in DER is this header and its 32 bytes (RFC 8410).
const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(key, 'base64').subarray(1)]);
const authority = {
  logID: Buffer.from(id, 'hex'),
  baseURL: `https://${name}`,
  publicKey: createPublicKey({ key: der, format: 'der', type: 'spki' }),
};

let count = 0;
for (const entry of JSON.parse(readFileSync(proofs, 'utf8'))) {
  const theirs = {
    canonicalizedBody: Buffer.from(entry.leaf_base64, 'base64'),
    inclusionProof: {
      logIndex: String(entry.index),
      hashes: entry.inclusion.proof.map((hash) => Buffer.from(hash, 'base64')),
      checkpoint: { envelope: entry.checkpoint },
    },
  };
  try {
    verifyMerkleInclusion(theirs, verifyCheckpoint(theirs, [authority]));
  } catch (error) {
    console.log(`FAIL: entry ${entry.index}: ${error.message}`);
    process.exit(1);
  }
  count += 1;
}
console.log(`OK: ${count} inclusion proofs`);
