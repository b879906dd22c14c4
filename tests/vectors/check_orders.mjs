// What wallets do: viem, which knows nothing of this project, hashes and signs every vector of
// orders.json. Prints how many it checked; the first that differs ends it with status 1.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { decodeAbiParameters, hashStruct, hashTypedData, recoverAddress } from "viem";
import { parseCompactSignature, compactSignatureToSignature, serializeSignature } from "viem";
import { privateKeyToAccount } from "viem/accounts";

const file = process.argv[2] ?? new URL("orders.json", import.meta.url);
const { domain: written, types: strings, counts, vectors } = JSON.parse(readFileSync(file, "utf8"));
const domain = { ...written, chainId: Number(written.chainId) };

/** "Cancel(address trader,uint64 nonce)" as the list of fields that wallets are given. */
function fieldsOf(text, primary) {
  const [, name, inner] = /^(\w+)\(([^()]*)\)$/.exec(text);
  assert.equal(name, primary);
  return inner.split(",").map((field) => {
    const [type, fieldName] = field.split(" ");
    return { type, name: fieldName };
  });
}

const asValue = (type, text) =>
  type.startsWith("uint") ? (Number(type.slice(4)) <= 48 ? Number(text) : BigInt(text)) : text;

let checked = 0;
for (const [primaryType, listed] of Object.entries(vectors)) {
  const fields = fieldsOf(strings[primaryType], primaryType);
  const types = { [primaryType]: fields };
  assert.equal(listed.length, Number(counts[primaryType]));
  for (const vector of listed) {
    const message = Object.fromEntries(
      fields.map(({ type, name }) => [name, asValue(type, vector.message[name])]),
    );
    assert.equal(Object.keys(vector.message).length, fields.length);
    const decoded = decodeAbiParameters(fields, vector.abi);
    fields.forEach(({ type, name }, index) => {
      const value = type === "address" ? decoded[index].toLowerCase() : decoded[index];
      assert.equal(value, message[name], `${primaryType}.${name}`);
    });
    assert.equal(hashStruct({ data: message, primaryType, types }), vector.structHash);
    const digest = hashTypedData({ domain, types, primaryType, message });
    assert.equal(digest, vector.digest, `digest of ${primaryType}`);
    if (vector.signer) {
      const account = privateKeyToAccount(vector.key);
      assert.equal(account.address.toLowerCase(), vector.signer);
      const signature = await account.signTypedData({ domain, types, primaryType, message });
      assert.equal(signature, vector.signature);
      const full = compactSignatureToSignature(parseCompactSignature(vector.compact));
      assert.equal(serializeSignature(full), signature);
      const signer = await recoverAddress({ hash: digest, signature });
      assert.equal(signer.toLowerCase(), vector.signer);
    }
    checked += 1;
  }
}
console.log(`${checked} vectors`);
