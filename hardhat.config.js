import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { defineConfig } from "hardhat/config";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { version, settings } = JSON.parse(readFileSync(here("contracts/settings.json"), "utf8"));

export default defineConfig({
  solidity: {
    // The pinned compiler of node_modules: nothing is downloaded, and the backend uses the same.
    version,
    path: here("node_modules/solc/soljson.js"),
    settings,
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
