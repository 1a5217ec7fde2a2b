"""The real command over TLS: large files come from the socket there too, and no redirect gives up encryption."""

from __future__ import annotations

import asyncio
import datetime
import os
import ssl
import sys
from pathlib import Path

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from trial import content_of

from redpajama_data.download import plan
from redpajama_data.download.plan import Listing, Wanted
from redpajama_data.io.lock import hold

REPOSITORY = Path(__file__).resolve().parents[2]
BODY = content_of(41, 3_000_000)
_COMMAND = """
import sys
from redpajama_data.download import direct
direct.LEAST = 1
from redpajama_data.__main__ import main
main()
"""


def _certificate(folder: Path) -> ssl.SSLContext:
    """One for localhost, that signs itself, in ``folder``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def _run(to: Path, certificate: Path, base: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _COMMAND, "download", "c4", "--to", str(to)),
        cwd=to,
        env={
            **os.environ,
            "PYTHONPATH": str(REPOSITORY),
            "SSL_CERT_FILE": str(certificate),
            "RPJ_ADDRESS_HUGGINGFACE_CO": base,
        },
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, error = await child.communicate()
    return child.returncode or 0, error.decode()


def test_over_tls_files_come_and_no_redirect_leads_out_of_it(tmp_path: Path) -> None:
    asked: list[str] = []

    async def whole(request: web.Request) -> web.Response:
        asked.append(f"{request.scheme} {request.path}")
        return web.Response(body=BODY)

    async def elsewhere(request: web.Request) -> web.Response:
        asked.append(f"{request.scheme} {request.path}")
        return web.Response(status=302, headers={"Location": request.query["to"]})

    async def work() -> tuple[int, str]:
        app = web.Application()
        app.router.add_get("/elsewhere.gz", elsewhere)
        app.router.add_get("/{name}", whole)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
        await runner.setup()
        for context in (_certificate(tmp_path), None):
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        (_, safe), (_, open_to_all) = runner.addresses
        base = "https://huggingface.co"
        files = [
            Wanted("whole.gz", f"{base}/whole.gz"),
            Wanted("inside.gz", f"{base}/elsewhere.gz?to=/inside.gz"),
            Wanted("out.gz", f"{base}/elsewhere.gz?to=http://localhost:{open_to_all}/out.gz"),
            Wanted("disk.gz", f"{base}/elsewhere.gz?to=file:///etc/passwd"),
        ]
        plan.save(str(tmp_path), "c4", Listing("v", files), {})
        try:
            return await _run(tmp_path, tmp_path / "cert.pem", f"https://localhost:{safe}")
        finally:
            await runner.cleanup()

    status, said = asyncio.run(work())
    assert status == 3, said
    for name in ("whole.gz", "inside.gz"):
        assert (tmp_path / "c4" / name).read_bytes() == BODY
    assert not (tmp_path / "c4" / "out.gz").exists()
    assert not (tmp_path / "c4" / "disk.gz").exists()
    assert "redirected from https to http://localhost" in said
    assert "redirected from https to file:///etc/passwd" in said
    assert "http /out.gz" not in asked
    assert len(asked) == 5  # what is refused is asked for once


def test_a_second_command_on_the_same_folder_ends_with_4(tmp_path: Path) -> None:
    plan.save(str(tmp_path), "c4", Listing("v", [Wanted("x.gz", "https://huggingface.co/x.gz")]), {})
    with hold(plan.folder(str(tmp_path), "c4")):
        status, said = asyncio.run(_run(tmp_path, tmp_path / "none.pem", "http://127.0.0.1:9"))
    assert status == 4, said
    assert "Wait for it, or choose another --to" in said
