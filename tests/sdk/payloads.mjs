// What is sent: every GitHub example, written in several ways, and texts that a float round trip, a re-ordering or an
// unescaping would change. `compact` is the oracle: it drops whitespace outside strings and touches nothing else.

import { createRequire } from 'node:module';

const examples = createRequire(import.meta.url)('@octokit/webhooks-examples');

/** JSON text without its insignificant whitespace; every other byte stays. */
export function compact(text) {
  let out = '';
  let inString = false;
  for (let i = 0; i < text.length; i += 1) {
    const char = text[i];
    if (inString) {
      out += char;
      if (char === '\\') {
        i += 1;
        out += text[i];
      } else if (char === '"') {
        inString = false;
      }
    } else if (char === '"') {
      inString = true;
      out += char;
    } else if (!' \t\n\r'.includes(char)) {
      out += char;
    }
  }
  return out;
}

const escapeNonAscii = (text) =>
  text.replace(/[^\x20-\x7e\s]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
/** A slash may be written `\/`; inside JSON text it only ever stands in a string. */
const escapeSlashes = (text) => text.replaceAll('/', '\\/');

/** The ways one payload may be written; which one is its turn. */
const spellings = [
  (value) => JSON.stringify(value),
  (value) => JSON.stringify(value, null, 2),
  (value) => JSON.stringify(value, null, '\t').replaceAll('\n', '\r\n'),
  (value) => escapeNonAscii(JSON.stringify(value, null, 1)),
  (value) => ` \n${escapeSlashes(JSON.stringify(value))}\t `,
];

const odd = [
  '{"one":1.0,"thousand":1e3,"big":12345678901234567890,"minus":-0,"exp":1E+2,"tail":0.1000,"tiny":1e-400}',
  '{"long":0.1234567890123456789012345678901234567890,"huge":1e400,"int":123456789012345678901234567890123456789}',
  '{"e":"\\u00e9","E":"é","slash":"\\/","plain":"/","pair":"\\ud83d\\ude00","raw":"😀","tab":"\\t","u":"\\u0009"}',
  '{"z":1,"a":2,"10":3,"2":4,"Z":5,"_":6,"":7}',
  '{"k":1,"K":2,"k ":3," k":4,"\\u006b":5}',
  '{"html":"<a href=\\"x\\">&amp;</a>","line":"\u2028\u2029","nul":"\\u0000","del":"\u007f"}',
  ' { "spaced" : [ 1 , 2.50 , "x  y" , { } , [ ] , null , true , false ] } ',
  '{"quotes":"\\"  \\\\","not a string end":"\\\\"}',
  `${'['.repeat(60)}1${']'.repeat(60)}`,
  `{"wide":${JSON.stringify(Array.from({ length: 2000 }, (_, i) => i / 8))}}`,
  '"just a string"',
  '5',
  '-0.0',
  'true',
  'null',
  '[]',
  '{}',
  '[ 1 , [ 2 , { "three" : 3.0 } ] ]',
];

/** `{key, eventType, text}` for everything that is sent. */
export function payloads() {
  const all = [];
  for (const { name, examples: list } of examples) {
    for (const [index, value] of list.entries()) {
      const text = spellings[all.length % spellings.length](value);
      all.push({ key: `github-${all.length}`, eventType: `github.${name}`, text, from: `${name}[${index}]` });
    }
  }
  const real = all.length;
  odd.forEach((text, index) => all.push({ key: `odd-${index}`, eventType: 'odd.text', text, from: `odd[${index}]` }));
  return { all, real };
}
