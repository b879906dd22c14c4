import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { defineConfig } from "hardhat/config";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { version, settings } = JSON.parse(readFileSync(here("contracts/settings.json"), "utf8"));
// The pinned compiler of node_modules: nothing is downloaded, and the backend uses the same.
const compiler = { version, path: here("node_modules/solc/soljson.js"), settings };

// Tests deploy the artifacts of the contracts: how the tests themselves are compiled changes
// nothing that is deployed, and the slow optimiser would cost most of a minute.
const testSettings = { ...settings, viaIR: false, optimizer: { enabled: false } };
const tests = readdirSync(here("tests/contracts"), { recursive: true })
  .filter((name) => name.endsWith(".sol"))
  .map((name) => [`tests/contracts/${name}`, { ...compiler, settings: testSettings }]);

export default defineConfig({
  solidity: {
    compilers: [compiler],
    overrides: Object.fromEntries(tests),
    npmFilesToBuild: ["@openzeppelin/contracts/access/manager/AccessManager.sol"],
    splitTestsCompilation: true,
  },
  paths: { sources: "contracts", tests: { solidity: "tests/contracts" } },
  test: {
    solidity: {
      fsPermissions: { readDirectory: ["tests/vectors"] },
      fuzz: { seed: "0xc0ffee", runs: 128 },
      invariant: { runs: 32, depth: 80, failOnRevert: false },
    },
  },
});
