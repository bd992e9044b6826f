"""The queue in front of the model."""

import asyncio
import os
import sys
import threading

import pytest

from yololab.api.queue import NICE, ClientDisconnected, RequestQueue
from yololab.errors import Busy, NotReady


async def here():
    return False


async def hung_up():
    return True


def test_work_is_done_and_its_wait_is_told():
    async def main():
        queue = RequestQueue(places=0, threads=1)
        result, waited = await queue.run(lambda: 1 + 2, here)
        queue.close()
        return result, waited

    result, waited = asyncio.run(main())
    assert result == 3 and waited >= 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a priority for each thread")
def test_the_event_loop_goes_before_the_work():
    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    async def main():
        queue = RequestQueue(places=0, threads=1)
        (of_work, _), of_loop = await queue.run(priority, here), priority()
        queue.close()
        return of_work, of_loop

    of_work, of_loop = asyncio.run(main())
    assert of_work == min(19, of_loop + NICE) and of_loop == os.getpriority(os.PRIO_PROCESS, 0)


def test_a_full_queue_says_busy_and_loses_nothing():
    async def main():
        go = threading.Event()
        queue = RequestQueue(places=2, threads=2)
        tasks = [asyncio.create_task(queue.run(go.wait, here)) for _ in range(4)]
        async with asyncio.timeout(60):
            while queue.waiting < 2:
                await asyncio.sleep(0)
        with pytest.raises(Busy, match="Try again in") as busy:
            await queue.run(go.wait, here)
        with pytest.raises(Busy):
            queue.check()
        go.set()
        results = [result for result, _ in await asyncio.gather(*tasks)]
        assert queue.waiting == 0
        queue.check()
        queue.close()
        return busy.value, results

    busy, results = asyncio.run(main())
    assert results == [True] * 4
    assert busy.retry_after >= 1 and busy.headers == {"Retry-After": str(busy.retry_after)}


def test_nothing_is_computed_for_a_client_that_is_gone():
    async def main():
        queue = RequestQueue(places=0, threads=1)
        with pytest.raises(ClientDisconnected):
            await queue.run(lambda: pytest.fail("computed"), hung_up)
        queue.check()  # its place is free again
        queue.close()

    asyncio.run(main())


def test_an_error_in_the_work_frees_the_place():
    async def main():
        queue = RequestQueue(places=0, threads=1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await queue.run(lambda: 1 / 0, here)
        queue.close()

    asyncio.run(main())


def test_close_does_not_wait_for_work_that_hangs():
    async def main():
        go, entered = threading.Event(), threading.Event()
        queue = RequestQueue(places=0, threads=1)
        hanging = asyncio.create_task(queue.run(lambda: (entered.set(), go.wait(60)), here))
        await asyncio.to_thread(entered.wait, 60)
        queue.close()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        still_noted = queue.longest > 0  # whoever watches sees that the thread goes on
        go.set()
        return still_noted

    assert asyncio.run(main())


def test_a_closed_queue_says_that_the_server_stops():
    async def main():
        queue = RequestQueue(places=1, threads=1)
        queue.close()
        with pytest.raises(NotReady, match="stopping"):
            await queue.run(lambda: pytest.fail("computed"), here)
        queue.check()  # its place is free again

    asyncio.run(main())
