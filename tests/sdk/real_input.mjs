// Sends every real payload through the API to a receiver of its own and holds each received body against the text that
// was sent, byte for byte; verifies every Standard Webhooks signature with that project's own library; leaves bodies,
// headers and secrets as JSON lines in the file named by its argument, for `verify.py` to check with Convoy's SDK.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { call, connectText, each, endpoint, send, setConfig } from './api.mjs';
import { compact, payloads } from './payloads.mjs';
import { receiver } from './receiver.mjs';

const SENDS_AT_ONCE = 16;
const SECRET = 'a Convoy secret, as raw bytes: ü';
const SIMPLE_SECRET = 'another-secret_25-characters';

const [, , file] = process.argv;
if (!file) throw new Error('usage: real_input.mjs FILE');

const lines = [];
const sink = await receiver();
const { all, real } = payloads();
assert.ok(real >= 300, `only ${real} real payloads`);

function note(arrival, secret, extra = {}) {
  const { body, headers } = arrival;
  lines.push(JSON.stringify({ body: body.toString('base64'), headers, secret, hash: 'SHA256', encoding: 'hex', ...extra }));
}

function verifyStandard(arrival, secret) {
  const hook = new Webhook(`whsec_${Buffer.from(secret).toString('base64')}`);
  const text = arrival.body.toString('utf8');
  hook.verify(text, arrival.headers);
  assert.throws(() => hook.verify(`${text} `, arrival.headers), WebhookVerificationError, 'a changed body verifies');
}

await setConfig({ standard_webhooks: true });
const advanced = await endpoint(sink.url('/advanced'), SECRET);
const simple = await endpoint(sink.url('/simple'), SIMPLE_SECRET, { advanced_signatures: false });

await each(all, SENDS_AT_ONCE, async (payload) => {
  await send(advanced, payload);
  const arrival = await sink.arrival('/advanced', payload.key);
  assert.equal(arrival.body.toString('utf8'), compact(payload.text), `${payload.from} changed on its way`);
  assert.equal(arrival.headers['content-type'], 'application/json');
  assert.match(arrival.headers['x-convoy-signature'], /^t=\d+,v1=[0-9a-f]{64}$/, payload.from);
  verifyStandard(arrival, SECRET);
  note(arrival, SECRET);
});

// Simple signatures: every seventh, so that each of the five spellings has its turn.
await each(all.filter((_, index) => index % 7 === 0), SENDS_AT_ONCE, async (payload) => {
  const again = { ...payload, key: `${payload.key}-simple` };
  await send(simple, again);
  const arrival = await sink.arrival('/simple', again.key);
  assert.equal(arrival.body.toString('utf8'), compact(payload.text), `${payload.from} changed on its way`);
  assert.match(arrival.headers['x-convoy-signature'], /^[0-9a-f]{64}$/, payload.from);
  verifyStandard(arrival, SIMPLE_SECRET);
  note(arrival, SIMPLE_SECRET);
});

// The log shows the same bytes as the wire.
await each(all.slice(real), SENDS_AT_ONCE, async (payload) => {
  const arrival = await sink.arrival('/advanced', payload.key);
  const id = arrival.headers['x-dacapo-event-id'];
  assert.match(id ?? '', /^evt_[0-9A-HJKMNP-TV-Z]{26}$/);
  const text = await connectText(`/events/${id}`);
  assert.ok(text.includes(`"data":${compact(payload.text)}`), `${payload.from} is not byte for byte in the log: ${text}`);
});

// A rolled secret: both sign until the old one expires.
await call('PUT', `/endpoints/${advanced}/expire_secret`, 200, { secret: 'the new secret', expiration: 1 });
const rolled = { key: 'rolled', eventType: 'odd.text', text: '{"rolled":true}' };
await send(advanced, rolled);
const both = await sink.arrival('/advanced', 'rolled');
assert.match(both.headers['x-convoy-signature'], /^t=\d+,v1=[0-9a-f]{64},v1=[0-9a-f]{64}$/);
for (const secret of [SECRET, 'the new secret']) {
  note(both, secret);
  verifyStandard(both, secret);
}

// The other hash and the other encoding.
await setConfig({ signature: { header: 'X-Convoy-Signature', versions: [{ hash: 'SHA512', encoding: 'base64' }] } });
const strong = { key: 'strong', eventType: 'odd.text', text: '{"hash":"SHA512"}' };
await send(advanced, strong);
note(await sink.arrival('/advanced', 'strong'), 'the new secret', { hash: 'SHA512', encoding: 'base64' });
await send(simple, { ...strong, key: 'strong-simple' });
note(await sink.arrival('/simple', 'strong-simple'), SIMPLE_SECRET, { hash: 'SHA512', encoding: 'base64' });

await writeFile(file, `${lines.join('\n')}\n`);
console.log(`${real} real and ${all.length - real} odd payloads: ${sink.count()} deliveries byte for byte, signatures hold`);
sink.close();
