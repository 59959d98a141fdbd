"""The latest request that the receiver of a page got, for the hidden lines of Python blocks."""

import json
from pathlib import Path

_latest = json.loads(Path("received.jsonl").read_text().splitlines()[-1])

body = _latest["body"].encode()
headers = dict(_latest["headers"])
keys = [key["hex"] for key in json.loads(Path("settings.jsonl").read_text())["verification_keys"]]
