import js from "@eslint/js";
import globals from "globals";

const PAGE = "**/page/static/js";

export default [
  { ignores: ["**/vendor/**", "**/node_modules/**"] },
  js.configs.recommended,
  {
    files: [`${PAGE}/**/*.js`],
    languageOptions: { globals: globals.browser },
  },
  {
    files: ["tests/page/**/*.js"],
    languageOptions: { globals: globals.node },
  },
  {
    linterOptions: { reportUnusedDisableDirectives: "error" },
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "max-len": ["error", { code: 140, ignoreUrls: true }],
      "max-lines": ["error", { max: 200 }],
      "no-restricted-syntax": [
        "error",
        {
          selector: "AssignmentExpression > MemberExpression[property.name='innerHTML']",
          message: "Markup is written with html``.",
        },
      ],
      "no-unused-vars": ["error", { args: "after-used", argsIgnorePattern: "^_", ignoreRestSiblings: true }],
      // Control characters are what text.js looks for.
      "no-control-regex": "off",
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  {
    files: [`${PAGE}/views/**/*.js`],
    rules: {
      "no-restricted-imports": [
        "error",
        { patterns: [{ group: ["./*", "**/views/*"], message: "What views share is a component." }] },
      ],
    },
  },
  {
    files: [`${PAGE}/components/**/*.js`],
    rules: {
      "no-restricted-imports": ["error", { patterns: [{ group: ["**/views/*"], message: "No component knows a view." }] }],
    },
  },
];
