"""The engine is killed at random moments while four associations send, again and again; after each start sender's view and archive agree."""
import os
import random
import tempfile
import time

from lib.catalog import Catalog
from lib.cstore import Senders, instance, send
from lib.scenario import LONG, Scenario, Drover
from lib.whole import whole
from test_faults_points import RULES
from test_postgres import Server

SEED = int(os.environ.get("DROVER_SEED") or random.randrange(10**6))


class Kills(Scenario):
    def kills(self, engine, catalog, times):
        print(f"# {times} kills, DROVER_SEED={SEED}")
        moments, by_uid, told, inside = random.Random(SEED), {}, {}, 0
        (engine.data / "rules").mkdir(parents=True)
        (engine.data / "rules/faults.lua").write_text(RULES)
        self.begin(engine)
        for turn in range(times):
            studies = [instance().study for _ in range(3)]
            new = [instance(study=moments.choice(studies), side=moments.choice((16, 16, 64, 200)), patient="P1") for _ in range(60)]
            new += [instance(patient="HOLD"), instance(document=70000), instance(sex="male")]
            again = moments.sample(sorted(told), min(len(told), 10))
            by_uid |= {one.uid: one for one in new}
            moments.shuffle(new)
            senders = Senders(engine.port, engine.aet, new + [by_uid[u] for u in again])
            # The moment is a number of answers and then some milliseconds, so that slow and fast hosts are killed alike.
            goal, more = moments.randrange(0, 50), moments.uniform(0, 0.01)
            while senders.answers < goal and senders.running():
                time.sleep(0.0005)  # between looks
            end = time.monotonic() + more
            while time.monotonic() < end:
                pass
            inside += senders.running()
            engine.kill()
            senders.stop.set()
            answers = senders.join()
            self.assertEqual(set(answers.values()) - {0}, set())
            told |= {u: by_uid[u] for u in answers}
            self.again(engine)
            if LONG or turn in (0, times - 1):
                whole(self, engine, catalog, told, only=by_uid, verify=turn % 10 == 9 or turn == times - 1)
        print(f"# {inside} of {times} while they sent; {len(told)} of {len(by_uid)} acknowledged")
        self.assertGreater(inside, 0)
        left = [one for uid, one in by_uid.items() if uid not in told]
        self.assertEqual(set(send(engine.port, engine.aet, left).values()), {0})
        whole(self, engine, catalog, by_uid, only=by_uid)

    def test_random_kills_while_four_associations_send_lose_nothing_and_invent_nothing(self):
        engine = Drover(self.folder)
        self.kills(engine, Catalog(engine.data), 100 if LONG else 5)

    def test_random_kills_on_postgres_lose_nothing_and_invent_nothing(self):
        server = Server(tempfile.mktemp(prefix="drover-pg-", dir="/tmp"))
        self.addCleanup(server.remove)
        server.start()
        engine = Drover(self.folder, options=["--set", "database=" + server.dsn])
        self.kills(engine, server, 20 if LONG else 2)
