"""Sends numbered records with the Python client: client.py HOST PORT COUNT [nanosecond]"""
import sys

from fluent import event, sender

host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
precise = len(sys.argv) > 4
logger = sender.FluentSender("python", host=host, port=port, nanosecond_precision=precise)
for seq in range(count):
    record = {"seq": seq, "text": "h\u00e9llo \U0001f600", "real": 1.5, "none": None, "list": [1, "two"], "map": {"a": True}}
    if not logger.emit("app", record):
        raise SystemExit(f"record {seq} was not taken: {logger.last_error}")
logger.close()
