"""What is handed out to be run elsewhere, and imports nothing of ours."""

from pathlib import Path

VERIFIER = Path(__file__).with_name("verify_audit.py")
