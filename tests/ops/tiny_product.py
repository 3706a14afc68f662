"""Stands in for the product under the real supervisor; started as a script it serves MANDATE_HOME.

Each process is a few lines of Python that can be looked at from outside, so that the supervisor's
promises are tested in seconds: `web` answers every request with what it knows of the environment
and has a child of its own; `worker` ignores SIGTERM when told to.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from config.local.home import Home
from config.local.supervisor import serve

WEB = """
import http.server, json, os, subprocess, sys
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"env": dict(os.environ), "pid": os.getpid(), "helper": helper.pid})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args):
        pass
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
IDLE = """
import json, os, pathlib, signal, time
if os.environ.get("STUBBORN") == os.environ["MANDATE_PROCESS"]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
seen = pathlib.Path(os.environ["MANDATE_HOME"], os.environ["MANDATE_PROCESS"] + ".seen")
seen.write_text(json.dumps({"env": dict(os.environ), "pid": os.getpid()}))
time.sleep(600)
"""
SETUP = """
import json, os, pathlib, sys
seen = pathlib.Path(os.environ["MANDATE_HOME"], "setup.seen")
seen.write_text(json.dumps({"env": dict(os.environ), "pid": os.getpid()}))
print("\\n".join(["migrated"] * int(os.environ.get("NOISE", "1"))))
sys.exit(int(os.environ.get("SETUP_CODE", "0")))
"""
COMMANDS = {
    name: lambda environ, code=code: [sys.executable, "-c", code]
    for name, code in {
        "setup": SETUP,
        "web": WEB,
        "worker": IDLE,
        "provisioner": IDLE,
        "beat": IDLE,
    }.items()
}

if __name__ == "__main__":
    sys.exit(serve(Home.of(), os.environ, COMMANDS))
