"""The pool of outbound associations as a user sees it: limits hold while many workers pull, and what is idle is shown and reused."""
import json
import threading

from lib.catalog import Catalog
from lib.scenario import Drover, Scenario


class Pool(Scenario):
    def test_eight_workers_share_two_outbound_associations_and_all_studies_are_complete(self):
        engine = Drover(self.folder)
        engine.data.mkdir()
        (engine.data / "drover.lua").write_text("dimse = { max_outbound = 2 }\nmigrate = { workers = 8 }\n")
        legacy = self.orthanc(knows=[engine])
        legacy.load(self.synth())
        self.begin(engine)
        engine.cli("peers", "add", "legacy", "--aet", legacy.aet, "--host", "127.0.0.1", "--port", legacy.port, "--direction", "SourceOnly",
                   "--settings", json.dumps({"retrieve": "get", "max_moves": 8}))
        done = threading.Event()
        waiting = threading.Thread(target=lambda: (engine.run("migrate", "--source", "legacy", "--all"), done.set()))
        waiting.start()
        most = queued = 0
        while not done.is_set():
            now = engine.json("status")
            now = now[0] if isinstance(now, list) else now
            most, queued = max(most, now["outbound_open"]), max(queued, now["outbound_waiting"])
            self.assertEqual(now["outbound_limit"], 2)
        waiting.join()
        self.assertEqual(most, 2)
        self.assertGreater(queued, 0)
        self.assertEqual({j["state"] for j in Catalog(engine.data).rows("SELECT state FROM jobs")}, {"complete"})
        self.assertEqual(Catalog(engine.data).instances().keys(), legacy.instances().keys())
        peer = engine.json("peers", "list")[0]
        self.assertEqual((peer["slug"], peer["open"]), ("legacy", peer["idle"]))
        self.assertGreater(peer["idle"], 0)
