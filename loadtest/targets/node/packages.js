// Where do the packages come from? From NODE_PATH, where `loadtest serve` has installed them, or from beside this file.
//
// `import` knows no NODE_PATH, `require` does.
import { createRequire } from "node:module";

export const require = createRequire(import.meta.url);
