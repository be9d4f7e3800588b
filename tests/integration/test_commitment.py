"""Storage commitment both ways: against Orthanc, and against a peer that says exactly what it is told to."""
import contextlib
import json
import os
import signal
import subprocess
import urllib.request

from lib.catalog import Catalog
from lib.peer import COMMITMENT, IMPLICIT, Listener, Peer, commitment, n_action, read_report, report_answer
from lib.scenario import BINARY, PATIENCE, Scenario
from lib.sender import CT, EXPLICIT, Sender, header, pixels

MR = "1.2.840.10008.5.1.4.1.1.4"
STUDY = "1.2.826.0.1.3680043.8.498.77"


class Commitment(Scenario):
    def setUp(self):
        super().setUp()
        self.listener = Listener()
        self.addCleanup(self.listener.socket.close)

    def engine(self, listeners=True, options=(), **peer):
        d = self.drover(options=["--set", "commitment.backoff_ms=200", *options])
        if listeners:
            self.peer_of(d, self.listener.port, **peer)
        return d

    def peer_of(self, d, port, aet="PEER", slug="pacs", direction="Both", settings=None):
        words = ["add", slug, "--aet", aet, "--host", "127.0.0.1", "--port", port, "--direction", direction]
        d.cli("peers", *words, *(["--settings", json.dumps(settings)] if settings else []))

    def store(self, d, count=3, calling="PEER", study=STUDY):
        uids = [f"{study}.{n}" for n in range(1, count + 1)]
        with Sender(d.port, calling=calling, timeout=PATIENCE) as s:
            for uid in uids:
                self.assertEqual(s.store(uid, header(uid, study=study, rows=8, columns=8), pixels(128)), 0)
            s.release()
        return uids

    def ask(self, d, transaction, references, calling="PEER", syntax=EXPLICIT):
        """The association on which it was asked, still open."""
        p = Peer.call(d.port, [(COMMITMENT, [syntax])], calling=calling)
        self.addCleanup(p.socket.close)
        self.assertEqual(p.results, {1: 0})
        p.send(n_action(), commitment(transaction, references))
        answer, _ = p.receive()
        self.assertEqual((answer[0x100], answer[0x120], answer[0x900], answer[0x1008]), (0x8130, 1, 0, 1))
        self.assertEqual((answer[2], answer[0x1000]), (COMMITMENT, COMMITMENT + ".1"))
        return p

    def rows(self, d):
        return d.json("commitments")

    def ended(self, d, state):
        return self.wait(f"a transaction that is {state}", lambda: [r for r in self.rows(d) if r["state"] == state])

    # ---- we are asked ----

    def test_the_report_comes_on_the_association_that_asked_while_it_is_open(self):
        d = self.engine()
        uids = self.store(d)
        p = self.ask(d, "1.2.3.1", [(CT, u) for u in uids])
        command, data = p.receive()
        self.assertEqual((command[0x100], command[0x1002], command[2], command[0x1000]), (0x100, 1, COMMITMENT, COMMITMENT + ".1"))
        self.assertEqual(read_report(data), ("1.2.3.1", {u: 0 for u in uids}))
        p.send(report_answer(command))
        row = self.ended(d, "reported")[0]
        self.assertEqual((row["instances"], row["committed"], row["transaction"], row["peer"]), (3, 3, "1.2.3.1", "pacs"))
        # Nothing more is said, here or elsewhere, and the association is still of use.
        p.send({2: "1.2.840.10008.1.20.1", 0x100: 0x30, 0x110: 7})
        self.assertEqual(p.receive()[0][0x100], 0x8030)
        self.assertTrue(p.release())

    def test_each_instance_that_is_not_committed_has_its_reason(self):
        d = self.engine()
        good, damaged, other = self.store(d)
        path = Catalog(d.data).instances()[damaged]["path"]
        with open(d.data / path, "r+b") as f:
            f.seek(-1, os.SEEK_END)
            f.write(b"\x55")
        p = self.ask(d, "1.2.3.2", [(CT, good), (CT, damaged), (MR, other), (CT, "1.2.999")])
        command, data = p.receive()
        self.assertEqual(command[0x1002], 2)
        self.assertEqual(read_report(data), ("1.2.3.2", {good: 0, damaged: 0x110, other: 0x119, "1.2.999": 0x112}))
        p.send(report_answer(command))
        number = self.ended(d, "reported")[0]["id"]
        shown = d.json("commitments", "show", number)
        self.assertEqual({i["sop_uid"]: i["result"] for i in shown["list"]},
                         {good: "committed", damaged: "processing failure", other: "class / instance conflict",
                          "1.2.999": "no such object instance"})
        self.assertIn("no such object instance", d.cli("commitments", "show", number))

    def test_another_instance_of_the_same_uid_that_is_held_is_not_committed_to_its_sender(self):
        d = self.engine()
        uid = self.store(d, 1)[0]
        with Sender(d.port, calling="PEER", timeout=PATIENCE) as s:
            s.store(uid, header(uid, study=STUDY, rows=8, columns=8, patient="SOMEBODY-ELSE"), [next(pixels(128)) + b"\1" * 128])
        self.assertEqual(len(d.json("quarantine", "list")), 1)
        p = self.ask(d, "1.2.3.3", [(CT, uid)])
        _, data = p.receive()
        self.assertEqual(read_report(data)[1], {uid: 0x110})

    def test_the_class_as_it_came_counts_though_a_rule_has_changed_it(self):
        d = self.drover()
        (d.data / "rules" / "class.lua").write_text(
            'mapping "to-mr" { actions = { { "SOPClassUID", "set", "%s" } },\n'
            '  tests = { { given = { SOPClassUID = "%s" }, expect = { SOPClassUID = "%s" } } } }\n' % (MR, CT, MR))
        d.cli("rules", "publish")
        self.peer_of(d, self.listener.port)
        uid = self.store(d, 1)[0]
        self.assertEqual(Catalog(d.data).instances()[uid]["sop_class"], MR)
        p = self.ask(d, "1.2.3.4", [(CT, uid)])
        self.assertEqual(read_report(p.receive()[1])[1], {uid: 0})

    def test_one_who_has_gone_is_called_with_the_role_of_an_scp(self):
        d = self.engine()
        uids = self.store(d)
        self.ask(d, "1.2.3.5", [(CT, u) for u in uids]).release()
        p = self.listener.accept()
        self.assertEqual((p.calling, p.called), ("DROVER", "PEER"))
        self.assertEqual(p.roles, {COMMITMENT: (0, 1)})
        command, data = p.receive()
        self.assertEqual(read_report(data), ("1.2.3.5", {u: 0 for u in uids}))
        p.send(report_answer(command), context=p.context)
        self.assertIsNone(p.receive())  # released
        self.ended(d, "reported")

    def test_a_peer_that_grants_no_role_and_asks_in_implicit_is_told_all_the_same(self):
        d = self.engine(settings={"commit_apart": True})
        uid = self.store(d, 1)[0]
        p = Peer.call(d.port, [(COMMITMENT, [IMPLICIT])])
        data = (b"\x08\0\x95\x11\x08\0\0\0" + b"1.2.3.60" + b"\x08\0\x99\x11\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff" +
                b"\x08\0\x50\x11" + len(CT + "\0").to_bytes(4, "little") + CT.encode() + b"\0" +
                b"\x08\0\x55\x11" + (len(uid) + len(uid) % 2).to_bytes(4, "little") + uid.encode() + b"\0" * (len(uid) % 2) +
                b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0")
        p.send(n_action(), data)
        self.assertEqual(p.receive()[0][0x900], 0)
        away = self.listener.accept(roles=False)  # though the association that asked is open: commit_apart
        command, data = away.receive()
        self.assertEqual(read_report(data), ("1.2.3.60", {uid: 0}))
        away.send(report_answer(command), context=away.context)
        self.ended(d, "reported")
        p.release()

    def test_a_report_that_does_not_get_through_is_tried_again_over_a_kill_of_the_engine(self):
        d = self.engine()
        uids = self.store(d)
        self.listener.socket.close()  # nobody is there
        self.ask(d, "1.2.3.7", [(CT, u) for u in uids]).release()
        self.wait("two tries in vain", lambda: self.rows(d)[0]["tries"] >= 2)
        self.assertIn("refuses the connection", self.rows(d)[0]["error"])
        d.kill(signal.SIGKILL)
        self.again(d)
        self.assertEqual(self.rows(d)[0]["state"], "decided")
        self.listener = Listener()
        self.addCleanup(self.listener.socket.close)
        d.cli("peers", "add", "pacs", "--aet", "PEER", "--host", "127.0.0.1", "--port", self.listener.port, "--replace")
        p = self.listener.accept()
        command, data = p.receive()
        self.assertEqual(read_report(data), ("1.2.3.7", {u: 0 for u in uids}))
        p.send(report_answer(command, status=0x0213), context=p.context)  # not now
        self.assertIsNone(p.receive())
        p = self.listener.accept()
        command, data = p.receive()
        p.send(report_answer(command), context=p.context)
        self.ended(d, "reported")

    def test_an_association_lost_before_it_answered_the_report_is_called_again(self):
        d = self.engine()
        uid = self.store(d, 1)[0]
        p = self.ask(d, "1.2.3.8", [(CT, uid)])
        self.assertEqual(read_report(p.receive()[1])[1], {uid: 0})
        p.socket.close()
        p = self.listener.accept()
        command, data = p.receive()
        self.assertEqual(read_report(data), ("1.2.3.8", {uid: 0}))
        p.send(report_answer(command), context=p.context)
        self.ended(d, "reported")

    def test_who_is_no_peer_is_given_up_with_the_way_out(self):
        d = self.engine(listeners=False, options=["--set", "commitment.tries=2"])
        uid = self.store(d, 1)[0]
        self.ask(d, "1.2.3.9", [(CT, uid)], calling="STRANGER").release()
        row = self.ended(d, "lost")[0]
        self.assertIn("drover peers add", row["error"])
        self.assertEqual(row["tries"], 2)

    def test_a_request_asked_while_instances_come_on_the_same_association_disturbs_nothing(self):
        d = self.engine()
        uids = self.store(d, 2)
        p = Peer.call(d.port, [(COMMITMENT, [EXPLICIT]), (CT, [EXPLICIT])])
        p.send(n_action(), commitment("1.2.3.10", [(CT, u) for u in uids]))
        self.assertEqual(p.receive()[0][0x900], 0)
        new, seen, report = f"{STUDY}.new", [], None
        p.send({2: CT, 0x100: 1, 0x110: 5, 0x700: 0, 0x1000: new}, header(new, study=STUDY, rows=8, columns=8) + b"".join(pixels(128)), context=3)
        while len(seen) < 2:
            command, data = p.receive()
            seen.append(command[0x100])
            if command[0x100] == 0x100:
                report = read_report(data)
                p.send(report_answer(command))
            else:
                self.assertEqual(command[0x900], 0)
        self.assertEqual((sorted(seen), report), ([0x100, 0x8001], ("1.2.3.10", {u: 0 for u in uids})))
        self.assertTrue(p.release())

    def test_wrong_requests_get_the_status_that_says_why(self):
        d = self.engine()
        good = commitment("1.2.3.11", [(CT, "1.2.3")])
        cases = [({3: CT}, good, 0x118), ({0x1001: "1.2.3"}, good, 0x112), ({0x1008: 2}, good, 0x123), ({}, None, 0x115),
                 ({}, commitment("", [(CT, "1.2.3")]), 0x115), ({}, commitment("1.2.3.12", []), 0x115), ({}, good[:-3], 0x115),
                 ({}, commitment("1.2.3.13", [(CT, "")]), 0x115), ({0x100: 0x140}, good, 0x211)]
        with Peer.call(d.port, [(COMMITMENT, [EXPLICIT])]) as p:
            for change, data, status in cases:
                with self.subTest(change=change, status=hex(status)):
                    p.send({**n_action(9), **change}, data)
                    self.assertEqual(p.receive()[0][0x900], status)
            p.send({2: CT, 0x100: 1, 0x110: 5, 0x700: 0, 0x1000: "1.2.3"}, b"\0" * 16)  # a store in the wrong context
            self.assertEqual(p.receive()[0][0x900], 0x122)
            p.release()
        self.assertEqual(self.rows(d), [])

    def test_orthanc_asks_and_hears_that_all_is_committed(self):
        d = self.drover(options=["--set", "commitment.backoff_ms=200"])
        legacy = self.orthanc(knows=[d])
        self.peer_of(d, legacy.port, aet=legacy.aet)
        legacy.load(self.synth("s", "--studies", "1"))
        ids = list(legacy.instances().values())
        asked = self.post(legacy, f"/modalities/{d.aet}/storage-commitment", {"DicomInstances": [[CT, "1.2.777"]]})
        self.assertEqual(self.outcome(legacy, asked["ID"])["Status"], "Failure")
        self.post(legacy, f"/modalities/{d.aet}/store", {"Resources": ids, "Synchronous": True, "StorageCommitment": True})
        transactions = self.wait("two transactions at an end", lambda: (lambda r: r if len(r) == 2 and all(t["ended_at"] for t in r) else None)(self.rows(d)))
        self.assertEqual(transactions[0]["committed"], len(ids))
        said = self.outcome(legacy, transactions[0]["transaction"])
        self.assertEqual((said["Status"], len(said["Success"]), said["RemoteAET"]), ("Success", len(ids), d.aet))

    def post(self, orthanc, path, body):
        rq = urllib.request.Request(f"http://127.0.0.1:{orthanc.http}{path}", json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(rq, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def outcome(self, orthanc, transaction):
        def look():
            with contextlib.suppress(OSError):
                said = orthanc.get(f"/storage-commitment/{transaction}")
                return said if said["Status"] != "Pending" else None
        return self.wait(f"the outcome of {transaction} at Orthanc", look)

    # ---- we ask ----

    def test_orthanc_commits_what_it_has_and_says_what_it_has_not(self):
        d = self.drover()
        legacy = self.orthanc(knows=[d])
        self.peer_of(d, legacy.port, aet=legacy.aet, slug="legacy")
        corpus = self.synth("s", "--studies", "1")
        legacy.load(corpus)
        d.cli("ingest", corpus)
        study, uids = next(iter(legacy.studies().items()))
        row = d.json("peers", "commit", "legacy", "--study", study)
        row = row[0] if isinstance(row, list) else row
        self.assertEqual((row["state"], row["committed"], row["instances"]), ("complete", len(uids), len(uids)))
        gone = sorted(uids)[0]
        self.delete(legacy, legacy.instances()[gone])
        done = d.run("peers", "commit", "legacy", "--study", study)
        self.assertEqual(done.returncode, 20, done.stderr)
        number = self.rows(d)[0]["id"]
        self.assertEqual([i["sop_uid"] for i in d.json("commitments", "show", number)["list"] if i["reason"] != 0], [gone])
        self.assertEqual(d.run("peers", "commit", "legacy", "--study", "1.2.3.4").returncode, 4)

    def delete(self, orthanc, instance):
        rq = urllib.request.Request(f"http://127.0.0.1:{orthanc.http}/instances/{instance}", method="DELETE")
        urllib.request.urlopen(rq, timeout=PATIENCE).close()

    def test_a_report_is_taken_on_the_association_that_asked_and_by_another_one_later(self):
        d = self.engine(direction="DestinationOnly")
        uids = self.store(d, 2, calling="MODALITY")
        for where in ("same", "other"):
            with self.subTest(where=where):
                ask = self.background(d, "peers", "commit", "pacs", "--study", STUDY, "--json")
                p = self.listener.accept()
                command, data = p.receive()
                self.assertEqual((command[0x100], command[3], command[0x1001], command[0x1008]), (0x130, COMMITMENT, COMMITMENT + ".1", 1))
                transaction, asked = read_report(data)
                self.assertEqual(set(asked), set(uids))
                p.send({2: COMMITMENT, 0x100: 0x8130, 0x120: command[0x110], 0x900: 0, 0x1000: COMMITMENT + ".1", 0x1008: 1}, context=p.context)
                event = {2: COMMITMENT, 0x100: 0x100, 0x110: 3, 0x1000: COMMITMENT + ".1", 0x1002: 1}
                reported = commitment(transaction, [(CT, u) for u in uids])
                if where == "same":
                    p.send(event, reported, context=p.context)
                    self.assertEqual(p.receive()[0][0x900], 0)
                else:
                    stranger = Peer.call(d.port, [(COMMITMENT, [EXPLICIT])], calling="STRANGER", roles=[(COMMITMENT, 0, 1)])
                    stranger.send(event, reported)
                    self.assertEqual(stranger.receive()[0][0x900], 0x124)  # it was not asked
                    stranger.release()
                    other = Peer.call(d.port, [(COMMITMENT, [EXPLICIT]), (CT, [EXPLICIT])], roles=[(COMMITMENT, 0, 1)])
                    self.assertEqual(other.roles[COMMITMENT], (0, 1))
                    other.send(event, reported)
                    self.assertEqual(other.receive()[0][0x900], 0)
                    other.send(event, reported)  # once more: as well
                    self.assertEqual(other.receive()[0][0x900], 0)
                    other.release()
                self.assertIsNone(p.receive())
                out, err = ask.communicate(timeout=PATIENCE)
                self.assertEqual(ask.returncode, 0, err)
                self.assertEqual(json.loads(out)["state"], "complete")

    def background(self, d, *words):
        p = subprocess.Popen([BINARY, words[0], "--data", str(d.data), *map(str, words[1:])], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(lambda: p.poll() is None and p.kill())
        return p

    def test_a_report_that_does_not_come_leaves_the_transaction_open_and_may_come_later(self):
        d = self.engine()
        uids = self.store(d, 1)
        ask = self.background(d, "peers", "commit", "pacs", "--study", STUDY, "--wait", "1")
        p = self.listener.accept()
        command, data = p.receive()
        transaction = read_report(data)[0]
        p.send({2: COMMITMENT, 0x100: 0x8130, 0x120: command[0x110], 0x900: 0, 0x1000: COMMITMENT + ".1", 0x1008: 1}, context=p.context)
        self.assertIsNone(p.receive())
        self.assertIn("no report yet", ask.communicate(timeout=PATIENCE)[1])
        self.assertEqual(ask.returncode, 14)
        late = Peer.call(d.port, [(COMMITMENT, [EXPLICIT])], roles=[(COMMITMENT, 0, 1)])
        late.send({2: COMMITMENT, 0x100: 0x100, 0x110: 3, 0x1000: COMMITMENT + ".1", 0x1002: 1}, commitment(transaction, [(CT, u) for u in uids]))
        self.assertEqual(late.receive()[0][0x900], 0)
        self.assertEqual(self.rows(d)[0]["state"], "complete")

    def test_ten_thousand_references_are_one_transaction(self):
        d = self.engine()
        uid = self.store(d, 1)[0]
        references = [(CT, uid)] + [(CT, f"1.2.3.4.5.{n}") for n in range(10000)]
        p = self.ask(d, "1.2.3.14", references)
        _, data = p.receive()
        said = read_report(data)[1]
        self.assertEqual((len(said), said[uid], sum(1 for r in said.values() if r == 0x112)), (10001, 0, 10000))
