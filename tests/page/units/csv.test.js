import assert from "node:assert/strict";
import test from "node:test";
import { csv, ndjson } from "../../../src/monitor/http/page/static/js/csv.js";

const COLUMNS = [["value", (row) => row.value]];
/** The one cell of a file with one row. */
const cell = (value) => csv([{ value }], COLUMNS).slice("value\r\n".length, -2);

test("a file has a head, and each line ends as RFC 4180 wants it", () => {
  const columns = [["id", (row) => row.id], ["a, b", (row) => row.of.b]];
  assert.equal(csv([{ id: 1, of: { b: 2 } }, { id: 3, of: {} }], columns), 'id,"a, b"\r\n1,2\r\n3,\r\n');
  assert.equal(csv([], columns), 'id,"a, b"\r\n');
});

test("only what would break a line or a cell is quoted, quotes twice", () => {
  const cases = [
    ["plain text", "plain text"],
    ["a,b", '"a,b"'],
    ['say "hi"', '"say ""hi"""'],
    ["two\nlines", '"two\nlines"'],
    ["a\rb", '"a\rb"'],
    ["", ""],
    [null, ""],
    [undefined, ""],
    [false, "false"],
    [{ team: "billing" }, '"{""team"":""billing""}"'],
  ];
  for (const [value, text] of cases) assert.equal(cell(value), text, JSON.stringify(value));
});

test("no text of others is a formula in a spreadsheet, and a number stays one", () => {
  const cases = [
    ["=1+1", "'=1+1"],
    ["+49 30", "'+49 30"],
    ["-1", "'-1"],
    ["@SUM(A1)", "'@SUM(A1)"],
    ["\t=1", "'\t=1"],
    ["\r=1", `"'\r=1"`],
    ['=HYPERLINK("http://evil","x")', `"'=HYPERLINK(""http://evil"",""x"")"`],
    [-1, "-1"],
    [0, "0"],
    ["a=1", "a=1"],
  ];
  for (const [value, text] of cases) assert.equal(cell(value), text, JSON.stringify(value));
});

test("newline-delimited JSON has a row a line, whatever a text holds", () => {
  const rows = [{ text: "two\nlines" }, { of: { n: 1 } }];
  const lines = ndjson(rows).split("\n");
  assert.equal(lines.pop(), "");
  assert.deepEqual(lines.map((line) => JSON.parse(line)), rows);
});
