"""Sends numbered records with the Python client: client.py HOST PORT TAG COUNT [nanosecond]; HOST may be unix:///path"""
import sys

from fluent import event, sender

host, port, tag, count = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
precise = len(sys.argv) > 5
logger = sender.FluentSender(tag, host=host, port=port, nanosecond_precision=precise)
for seq in range(count):
    record = {
        "seq": seq,
        "text": "h\u00e9llo \U0001f600",
        "real": 1.5,
        "none": None,
        "bytes": b"raw",
        "big": 2**64 - 1,
        "small": -(2**63),
        "list": [1, "two"],
        "map": {"a": True},
        7: "a number as key",
    }
    if not logger.emit("app", record):
        raise SystemExit(f"record {seq} was not taken: {logger.last_error}")
logger.close()
