"""Checks what real_input.mjs received with code that is not ours: Convoy's Python SDK for X-Convoy-Signature, the
Standard Webhooks library for webhook-signature. Usage: verify.py FILE (JSON lines)."""

import base64
import json
import sys

from convoy.utils.webhook import Webhook as ConvoyWebhook
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError


def check_convoy(line: dict, body: str) -> None:
    signature = line["headers"]["x-convoy-signature"]
    hook = ConvoyWebhook(secret=line["secret"], hash=line["hash"], encoding=line["encoding"])
    assert hook.verify_signature(body, signature) is True, f"Convoy's SDK refuses {signature} over {body[:200]}"
    assert hook.verify_signature(body + " ", signature) is False, "a changed body verifies"
    stranger = ConvoyWebhook(secret="not the secret", hash=line["hash"], encoding=line["encoding"])
    assert stranger.verify_signature(body, signature) is False, "any secret verifies"


def check_standard(line: dict, body: str) -> None:
    secret = "whsec_" + base64.b64encode(line["secret"].encode()).decode()
    hook = StandardWebhook(secret)
    hook.verify(body, line["headers"], json_parse=False)
    try:
        hook.verify(body + " ", line["headers"], json_parse=False)
    except WebhookVerificationError:
        return
    raise AssertionError("a changed body verifies")


def main() -> None:
    count = 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for text in lines:
            line = json.loads(text)
            body = base64.b64decode(line["body"]).decode()
            check_convoy(line, body)
            check_standard(line, body)
            count += 1
    assert count > 300, f"only {count} deliveries to verify"
    print(f"{count} deliveries: Convoy's SDK and standardwebhooks accept every signature")


if __name__ == "__main__":
    main()
