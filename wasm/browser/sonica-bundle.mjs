// Who published a bundle, and whether it is all there (backend/bundles/BUNDLES.md): for browsers, Node and workerd.

const CONTEXT = "sonica bundle 1\n"; // signed in front of each manifest

/**
 * @typedef {{name: string, sha256: string, bytes: number}} BundleFile
 *
 * @typedef {object} BundleManifest what a bundle says of itself; there is more
 * @property {string} channel what it replaces: `hot` is the edge's
 * @property {number} sequence grows with each one that is published
 * @property {number} fingerprint_version
 * @property {BundleFile[]} files
 */

/**
 * Read a sealed manifest, as `sonica bundles publish` writes it.
 * @param {string} sealed
 * @param {string} [publicKeys] of whom to believe, Ed25519, Base64, separated by commas; none asks for no signature
 * @returns {Promise<BundleManifest>} rejected for what none of them signed, and for what is no manifest
 */
export async function openManifest(sealed, publicKeys = "") {
  const envelope = JSON.parse(sealed);
  const keys = publicKeys.split(",").map((key) => key.trim());
  if (keys.some(Boolean)) await checkSignature(envelope, keys.filter(Boolean));
  const manifest = JSON.parse(envelope.manifest);
  const known = manifest.format === 1 && manifest.sequence >= 1 && typeof manifest.channel === "string";
  if (!known || !manifest.files.every(isFile)) throw new Error("the manifest is not one that this program reads");
  return manifest;
}

/**
 * Check that bytes are a file of a manifest.
 * @param {Uint8Array} body
 * @param {BundleFile} file
 * @returns {Promise<void>} rejected when they are not
 */
export async function checkFile(body, file) {
  if (body.length !== file.bytes) throw new Error(`${file.name} has ${body.length} bytes in place of ${file.bytes}`);
  if ((await sha256(body)) !== file.sha256) throw new Error(`${file.name} is not the one of the manifest`);
}

/** @param {Uint8Array} body @returns {Promise<string>} SHA-256, hex */
export async function sha256(body) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function checkSignature({ manifest, key, signature }, publicKeys) {
  if (!key || !signature) throw new Error("the manifest is not signed");
  for (const raw of publicKeys.map(decoded)) {
    if (!(await sha256(raw)).startsWith(key)) continue;
    const imported = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
    const signed = new TextEncoder().encode(CONTEXT + manifest);
    if (await crypto.subtle.verify({ name: "Ed25519" }, imported, decoded(signature), signed)) return;
    throw new Error("the signature does not fit: the manifest was changed after it was signed");
  }
  throw new Error(`the manifest is signed by ${key}, no key that is believed here`);
}

function isFile({ name, sha256: hash, bytes }) {
  return typeof name === "string" && /^[0-9a-f]{64}$/.test(hash) && bytes >= 0;
}

function decoded(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
