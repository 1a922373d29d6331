// A local receiver that keeps every request by its idempotency key, and tells when one has come.

import { createServer } from 'node:http';
import { once } from 'node:events';

const ARRIVAL_MS_MAX = 60_000;

export async function receiver() {
  const requests = new Map();
  const waiting = new Map();
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const name = `${request.url} ${request.headers['x-convoy-idempotency-key']}`;
    const list = requests.get(name) ?? [];
    list.push({ headers: request.headers, body: Buffer.concat(chunks) });
    requests.set(name, list);
    response.writeHead(200, { 'content-length': 0 }).end();
    waiting.get(name)?.();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: (path) => `http://127.0.0.1:${server.address().port}${path}`,
    /** The first request that came to `path` with this key. */
    async arrival(path, key) {
      const name = `${path} ${key}`;
      if (!requests.has(name)) {
        await new Promise((resolve, reject) => {
          const late = setTimeout(() => reject(new Error(`${name} did not come`)), ARRIVAL_MS_MAX);
          waiting.set(name, () => {
            clearTimeout(late);
            resolve();
          });
        });
      }
      return requests.get(name)[0];
    },
    count: () => [...requests.values()].reduce((sum, list) => sum + list.length, 0),
    close: () => server.close(),
  };
}
