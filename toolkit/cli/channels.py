"""The channels of a launch or re-run (``--prometheus``, ``--otlp``): opened first, closed last."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from toolkit.errors import Interrupted, Reported
from toolkit.output import Output

if TYPE_CHECKING:
    from toolkit.launch.onlooker import Onlooker
    from toolkit.model.plan import Plan
    from toolkit.telemetry.channels import Wanted


def wanted(prometheus: str | None, otlp: str | None) -> Wanted | None:
    """What the options ask for; None, and nothing is loaded, when they ask for nothing. Raises UsageError."""
    if prometheus is None and otlp is None:
        return None
    from toolkit.telemetry.address import listen_address, otlp_endpoint
    from toolkit.telemetry.channels import Wanted

    return Wanted(
        prometheus=listen_address(prometheus) if prometheus is not None else None,
        otlp=otlp_endpoint(otlp) if otlp is not None else None,
    )


@contextmanager
def channels_of(wanted: Wanted | None, plan: Plan, output: Output) -> Iterator[Onlooker]:
    """Open what is wanted, on the housekeeping CPUs; afterwards say in one line each what could not be delivered."""
    from toolkit.launch.onlooker import Onlooker

    if wanted is None:
        yield Onlooker()
        return
    from toolkit.launch.run import housekeeping
    from toolkit.telemetry.channels import Channels

    with housekeeping(plan.cells[0]):  # threads keep the CPUs of the one that starts them
        channels = Channels(wanted)
    if channels.url:
        output.talk(f"Prometheus: {channels.url}")
    finished = False
    try:
        yield channels
        finished = True
    except Reported as reported:
        finished = not isinstance(reported.error, Interrupted)
        raise
    finally:
        with suppress(KeyboardInterrupt):
            for lost in channels.close(linger=finished, say=output.talk):
                output.talk(lost)
