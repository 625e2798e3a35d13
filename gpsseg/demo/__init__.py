"""`python -m gpsseg.demo`: a page in the browser where a tuned network is tried."""

from __future__ import annotations

from importlib.util import find_spec
from socket import gethostname

from gpsseg.config.demo import DemoConfig
from gpsseg.console import NETWORKS, import_at_once, say
from gpsseg.demo.guard import alone
from gpsseg.errors import UserError
from gpsseg.scope import scoped
from gpsseg.scratch import scratch_folder


@scoped
def demo(config: DemoConfig) -> None:
    """Serve the page until Ctrl-C.

    See ``DemoConfig``.

    Raises:
        UserError: gradio is not installed, a run has no result, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise UserError(
            "The demo needs gradio, which is not installed: pip install 'gpsseg[demo]'."
        )
    with scratch_folder() as root, alone(root):
        import_at_once((*NETWORKS, "gradio"))
        from gpsseg.demo.hooks import require_hooks

        require_hooks()
        from gpsseg.demo.desk import Desk
        from gpsseg.demo.page import build
        from gpsseg.demo.serve import bound, make_app, serve
        from gpsseg.demo.sessions import Sessions
        from gpsseg.demo.tasks import tasks_of
        from gpsseg.demo.upload import Limits
        from gpsseg.predict.network import load_tasks

        taken = bound(config)
        tasks = tasks_of(load_tasks(config.run, config.device, config.untrained))
        sessions = Sessions(root)
        app = make_app(build(Desk(tasks, sessions, Limits.of(config)), config), root, config)
        _say_where(config, taken.getsockname()[1])
        serve(app, taken, sessions)


def _say_where(config: DemoConfig, port: int) -> None:
    """Say where the page is, and loudly if others can open it."""
    if not config.is_local:
        say(
            f"--host {config.host}: everybody who reaches this machine can open the page and "
            "send it files, without a password and without encryption.",
            style="bold yellow",
        )
    host = gethostname() if config.host in ("0.0.0.0", "::") else config.host
    host = f"[{host}]" if ":" in host else host
    text = f"Open http://{host}:{port}/ in a browser. Not for diagnostic use. Ctrl-C ends it."
    say(text, style="bold")
