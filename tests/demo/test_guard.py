"""The server takes no settings from outside, which could hand out files or tell of visitors."""

import asyncio
import os
import tempfile

from gpsseg.demo.guard import Guard, alone


def test_no_setting_from_outside_counts(tmp_path, monkeypatch):
    outside = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector.example.org",
        "GRADIO_ALLOWED_PATHS": "/",
        "GRADIO_ANALYTICS_ENABLED": "True",
        "GRADIO_ROOT_PATH": "https://example.org",
        "SPACE_ID": "someone/something",
    }
    for name, value in outside.items():
        monkeypatch.setenv(name, value)
    folder = tempfile.tempdir
    with alone(tmp_path):
        assert {name: os.environ.get(name) for name in outside} == dict.fromkeys(outside) | {
            "GRADIO_ANALYTICS_ENABLED": "False"
        }
        assert os.environ["OTEL_SDK_DISABLED"] == "true"
        assert os.environ["GRADIO_TEMP_DIR"] == tempfile.gettempdir() == str(tmp_path)
    assert {name: os.environ.get(name) for name in outside} == outside
    assert tempfile.tempdir == folder


def test_what_nobody_foresaw_is_one_line_on_the_console(tmp_path, capsys):
    async def fails(scope, receive, send):
        raise ValueError("first\nsecond")

    scope = {"type": "http", "path": "/", "headers": []}
    asyncio.run(Guard(fails, tmp_path)(scope, None, None))
    said = capsys.readouterr()
    assert said.out.startswith("A request was refused: ValueError: first")
    assert (said.out.count("\n"), said.err) == (1, "")
