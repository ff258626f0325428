"""A client that wants to log in with SASL, at a server that has no SASL."""
import logging
import os
import sys

from kazoo.client import KazooClient

logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
zk = KazooClient(
    sys.argv[1],
    sasl_options={"mechanism": "DIGEST-MD5", "username": "user", "password": "secret"},
)
try:
    zk.start(timeout=float(sys.argv[2]))
    print("connected", zk.exists("/") is not None, flush=True)
except Exception as e:
    print("refused", type(e).__name__, e, flush=True)
os._exit(0)
