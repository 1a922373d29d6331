// Plain HTTP against the product under test; where it is and its keys come from the environment.

const { DACAPO_URL: url, DACAPO_PROJECT_ID: project, DACAPO_API_KEY: key, DACAPO_CONNECT_KEY: connectKey } = process.env;
if (!url || !project || !key || !connectKey) {
  throw new Error('DACAPO_URL, DACAPO_PROJECT_ID, DACAPO_API_KEY and DACAPO_CONNECT_KEY must be set');
}

/** `body` is sent as it stands when it is text, as JSON otherwise. The answer must have this status. */
export async function call(method, path, status, body) {
  const text = typeof body === 'string' || body === undefined ? body : JSON.stringify(body);
  const response = await fetch(`${url}/api/v1/projects/${project}${path}`, {
    method,
    body: text,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
  });
  const answer = await response.text();
  if (response.status !== status) {
    throw new Error(`${method} ${path}: ${response.status} instead of ${status}: ${answer}`);
  }
  return JSON.parse(answer).data;
}

export async function connectText(path) {
  const response = await fetch(`${url}/connect/v1${path}`, { headers: { authorization: connectKey } });
  const answer = await response.text();
  if (response.status !== 200) throw new Error(`GET ${path}: ${response.status}: ${answer}`);
  return answer;
}

export async function setConfig(config) {
  const { name } = await call('GET', '', 200);
  await call('PUT', '', 202, { name, config });
}

/** An endpoint with this secret that is subscribed to everything. */
export async function endpoint(target, secret, extra = {}) {
  const { uid } = await call('POST', '/endpoints', 201, { url: target, name: `sdk ${target}`, secret, ...extra });
  await call('POST', '/subscriptions', 201, {
    name: `sdk ${target}`,
    endpoint_id: uid,
    filter_config: { event_types: ['*'] },
  });
  return uid;
}

/** `data` is JSON text and goes out as it is written. */
export async function send(endpointId, { key: idempotencyKey, eventType, text }) {
  const head = JSON.stringify({ endpoint_id: endpointId, event_type: eventType, idempotency_key: idempotencyKey });
  await call('POST', '/events', 201, `${head.slice(0, -1)}, "data": ${text}}`);
}

/** Runs `work` over `items`, `width` at a time. */
export async function each(items, width, work) {
  const rest = items.values();
  const lane = async () => {
    for (const item of rest) await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
