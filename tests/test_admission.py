import asyncio
import threading

import pytest

from yololab.admission import Admission, Gone
from yololab.errors import Busy


async def here():
    return False


async def hung_up():
    return True


def test_work_is_done_and_its_wait_is_told():
    async def main():
        admission = Admission(queue=0, threads=1)
        result, waited = await admission.run(lambda a, b: a + b, 1, 2, gone=here)
        admission.close()
        return result, waited

    result, waited = asyncio.run(main())
    assert result == 3 and waited >= 0


def test_a_full_queue_says_busy_and_loses_nothing():
    async def main():
        go = threading.Event()
        admission = Admission(queue=2, threads=2)
        tasks = [asyncio.create_task(admission.run(go.wait, gone=here)) for _ in range(4)]
        while admission.waiting < 2:
            await asyncio.sleep(0)
        with pytest.raises(Busy, match="Try again in") as busy:
            await admission.run(go.wait, gone=here)
        with pytest.raises(Busy):
            admission.check()
        go.set()
        results = [result for result, _ in await asyncio.gather(*tasks)]
        assert admission.waiting == 0
        admission.check()
        admission.close()
        return busy.value, results

    busy, results = asyncio.run(main())
    assert results == [True] * 4
    assert busy.retry_after >= 1 and busy.headers == {"Retry-After": str(busy.retry_after)}


def test_nothing_is_computed_for_a_client_that_is_gone():
    async def main():
        admission = Admission(queue=0, threads=1)
        with pytest.raises(Gone):
            await admission.run(pytest.fail, "computed", gone=hung_up)
        admission.check()  # its place is free again
        admission.close()

    asyncio.run(main())


def test_an_error_in_the_work_frees_the_place():
    async def main():
        admission = Admission(queue=0, threads=1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await admission.run(lambda: 1 / 0, gone=here)
        admission.close()

    asyncio.run(main())
