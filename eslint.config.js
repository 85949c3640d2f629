// SPDX-License-Identifier: GPL-2.0-only
import tseslint from "typescript-eslint";

const SPDX = "// SPDX-License-Identifier: GPL-2.0-only";
const MODEL = ["arch", "drivers", "fs", "include", "kernel", "lib", "mm", "uapi"].map((folder) => `${folder}/**/*.ts`);
const OURS = ["harness/**/*.ts", "selftests/**/*.ts"];
const GROUPS = new Set(["describe", "SUITE"]);

/** The first line of each file is its licence. */
const spdx = {
  meta: { type: "problem", schema: [] },
  create: (context) => ({
    Program(node) {
      const { lines } = context.sourceCode;
      const first = lines[0]?.startsWith("#!") ? lines[1] : lines[0];
      if (first !== SPDX) context.report({ node, message: `the first line must be "${SPDX}"` });
    },
  }),
};

/** Lines of a function; what only groups tests (`describe`) is no function. */
const functionLines = {
  meta: { type: "suggestion", schema: [{ type: "integer" }] },
  create(context) {
    const [max] = context.options;
    const check = (node) => {
      const { parent } = node;
      if (parent.type === "CallExpression" && parent.callee.type === "Identifier" && GROUPS.has(parent.callee.name))
        return;
      const lines = node.loc.end.line - node.loc.start.line + 1;
      if (lines > max) context.report({ node, message: `a function of ${lines} lines; at most ${max}` });
    };
    return { FunctionDeclaration: check, FunctionExpression: check, ArrowFunctionExpression: check };
  },
};

/** Is this a function of the kernel's or a word of kselftest's? Our own are in camelCase. */
const naming = (formats) => [
  "error",
  { selector: "default", format: ["camelCase"], leadingUnderscore: "allow", trailingUnderscore: "allow" },
  { selector: "import", format: null },
  { selector: "variable", format: formats, leadingUnderscore: "allow" },
  { selector: "variable", modifiers: ["destructured"], format: null },
  { selector: "function", format: formats, leadingUnderscore: "allow" },
  { selector: "parameter", format: ["camelCase"], leadingUnderscore: "allow" },
  { selector: "parameter", modifiers: ["destructured"], format: null },
  {
    selector: ["classProperty", "objectLiteralProperty", "typeProperty", "objectLiteralMethod", "enumMember"],
    format: null,
  },
  { selector: "typeLike", format: ["PascalCase"] },
];

/** The kernel's names are snake_case and, for constants, UPPER_CASE, with any number of underscores before. */
const kernelNaming = [
  "error",
  {
    selector: "default",
    format: null,
    custom: { regex: "^(_*[a-z][a-zA-Z0-9]*|_*[a-z0-9]+(_[a-zA-Z0-9]+)*_*|_*[A-Z][A-Za-z0-9_]*)$", match: true },
  },
  { selector: ["objectLiteralProperty", "typeProperty"], modifiers: ["requiresQuotes"], format: null },
];

const ADDRESS = "/^(addr|address|start|end|vm_start|vm_end|new_addr|old_addr|brk|start_brk|mmap_base)$/";
const BITS = "[operator=/^(&|\\||\\^|<<|>>|>>>)$/]";
const noBitsOnAddresses = [
  `BinaryExpression${BITS} > Identifier`,
  `BinaryExpression${BITS} > MemberExpression > Identifier.property`,
].map((selector) => ({
  selector: `${selector}[name=${ADDRESS}]`,
  message:
    "addresses are doubles below 2^47: bit operators keep 32 bits (use Math.floor(x / PAGE_SIZE), offset_in_page)",
}));
const noDefaultExport = { selector: "ExportDefaultDeclaration", message: "no default exports" };
const noEnum = { selector: "TSEnumDeclaration", message: "no enums: they are not erasable" };
const STATE = "no state at module level in the model: it hangs off the machine";
const noModuleState = [
  { selector: "Program > VariableDeclaration[kind='let']", message: STATE },
  { selector: "Program > ExportNamedDeclaration > VariableDeclaration[kind='let']", message: STATE },
  ...["Program > VariableDeclaration", "Program > ExportNamedDeclaration > VariableDeclaration"].map((place) => ({
    selector: `${place} > VariableDeclarator > NewExpression[callee.name=/^(Map|Set|WeakMap|WeakSet)$/][arguments.length=0]`,
    message: STATE,
  })),
];
const timers = [
  "Date",
  "performance",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "process",
  "crypto",
];

export default tseslint.config(
  { ignores: ["build/**", "reports/**", "node_modules/**", "fixtures/**"] },
  {
    files: ["**/*.ts", "**/*.js", "**/*.mjs", "**/*.cjs"],
    plugins: { patchproof: { rules: { spdx, "function-lines": functionLines } } },
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: { "patchproof/spdx": "error" },
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // An anon_vma and an address_space are told apart by is_anon, after which the cast is right.
      "@typescript-eslint/no-unsafe-class-instance-assignment": "off",
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-restricted-syntax": ["error", noDefaultExport, noEnum],
      "max-lines": ["error", { max: 500 }],
      "patchproof/function-lines": ["error", 70],
      "@typescript-eslint/consistent-type-imports": ["error", { fixStyle: "inline-type-imports" }],
      "@typescript-eslint/no-confusing-void-expression": [
        "error",
        { ignoreArrowShorthand: true, ignoreVoidReturningFunctions: true },
      ],
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      // Indexing is checked by the compiler (noUncheckedIndexedAccess); `!` says that the index is known to be good.
      "@typescript-eslint/no-non-null-assertion": "off",
    },
  },
  {
    files: MODEL,
    rules: {
      "@typescript-eslint/naming-convention": kernelNaming,
      "no-restricted-syntax": ["error", noDefaultExport, noEnum, ...noBitsOnAddresses, ...noModuleState],
      "no-restricted-globals": [
        "error",
        ...timers.map((name) => ({ name, message: "the model is run by a seed alone" })),
      ],
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: "use k.prng" }],
      "no-restricted-imports": [
        "error",
        { patterns: [{ regex: "^[^.]", message: "the model imports nothing but itself" }] },
      ],
      // C's conditions and counts, and numbers in messages, as they come.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-unnecessary-condition": "off",
      "@typescript-eslint/no-this-alias": "off",
      "@typescript-eslint/no-invalid-void-type": "off",
    },
  },
  {
    files: OURS,
    rules: {
      "@typescript-eslint/naming-convention": naming(["camelCase", "UPPER_CASE", "PascalCase"]),
      "max-lines": ["error", { max: 250 }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "no-restricted-imports": [
        "error",
        { name: "picocolors", message: "it takes CI for a terminal; use colours() of harness/output.ts" },
      ],
    },
  },
  { files: ["harness/output.ts"], rules: { "no-restricted-imports": "off" } },
  {
    files: ["selftests/**/*.ts"],
    rules: {
      "max-lines": ["error", { max: 350 }],
      // chai's assertions are expressions.
      "@typescript-eslint/no-unused-expressions": "off",
    },
  },
  { files: ["**/*.d.ts"], rules: { "@typescript-eslint/naming-convention": "off" } },
);
