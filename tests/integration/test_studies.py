"""Study search by the command line (M06): each key, as stored and as received, wildcards, ranges, pages; totals and the newest first."""
from lib.cstore import instance, send
from lib.scenario import Drover, Scenario

RULES = '''
mapping "site" {
  run = function(ds)
    ds.PatientID = "N-" .. ds.PatientID
    ds.AccessionNumber = "X" .. ds.AccessionNumber
    ds.StudyInstanceUID = ds.StudyInstanceUID .. ".5"
  end,
  tests = { { given = { PatientID = "1", AccessionNumber = "2", StudyInstanceUID = "1.2" },
              expect = { PatientID = "N-1", AccessionNumber = "X2", StudyInstanceUID = "1.2.5" } } },
}
'''


class Studies(Scenario):
    def setUp(self):
        super().setUp()
        self.engine = Drover(self.folder)
        (self.engine.data / "rules").mkdir(parents=True)
        (self.engine.data / "rules/site.lua").write_text(RULES)
        self.begin(self.engine)
        self.sent = [instance(patient=f"PAT{i:02}") for i in range(6)]
        self.sent.append(instance(patient="OTHER", document=70000))
        self.dated = dict(zip([s.study for s in self.sent], ("20200115", "20200131", "20200201", "20210101", "", "20240102", "20240102")))
        for s in self.sent:
            date = self.dated[s.study]
            at = s.data.index(b"\x08\x00\x20\x00DA\x08\x00")
            s.data = s.data[:at + 6] + (b"\x08\x00" + date.encode() if date else b"\x00\x00") + s.data[at + 16:]
        self.assertEqual(set(send(self.engine.port, self.engine.aet, self.sent).values()), {0})

    def found(self, *options):
        return [s["received_study_uid"] for s in self.engine.json("studies", *options)]

    def of(self, *numbers):
        """Newest first."""
        return [self.sent[n].study for n in sorted(numbers, reverse=True)]

    def test_each_key_finds_by_the_stored_and_the_received_identity(self):
        accession = self.engine.json("studies", "--patient-id", "PAT03")[0]["received_accession"]
        for options, numbers in ((("--patient-id", "PAT03"), (3,)), (("--patient-id", "N-PAT03"), (3,)), (("--patient-id", "n-pat*"), range(6)),
                                 (("--patient-id", "PAT0?"), range(6)), (("--patient-id", "*AT03"), (3,)), (("--patient-id", "PAT"), ()),
                                 (("--accession", accession), (3,)), (("--accession", "X" + accession), (3,)),
                                 (("--study-uid", self.sent[2].study), (2,)), (("--study-uid", self.sent[2].study + ".5"), (2,)),
                                 (("--patient-name", "fault^inj*"), range(7)), (("--patient-name", "*INJECTED"), range(7)), (("--patient-name", "nobody*"), ()),
                                 (("--modality", "OT"), (6,)), (("--modality", "CT"), range(6)), (("--modality", "MR"), ()),
                                 (("--modality", "CT", "--patient-id", "*3"), (3,))):
            self.assertEqual(self.found(*options), self.of(*numbers), options)

    def test_dates_are_days_and_ranges_and_no_date_is_in_none(self):
        for dates, numbers in (("20200131", (1,)), ("20200101-20200131", (0, 1)), ("-20200131", (0, 1)), ("20200131-", (1, 2, 3, 5, 6)), ("20220101-20230101", ())):
            self.assertEqual(self.found("--study-date", dates), self.of(*numbers), dates)
        done = self.engine.run("studies", "--study-date", "January")
        self.assertEqual(done.returncode, 8)
        self.assertIn("January", done.stderr)

    def test_pages_go_on_behind_the_last_id_also_when_studies_arrive_meanwhile(self):
        seen, after = [], 0
        while True:
            page = self.engine.json("studies", "--limit", 3, "--after", after)
            seen += [s["received_study_uid"] for s in page]
            self.assertEqual(set(send(self.engine.port, self.engine.aet, [instance()]).values()), {0})
            if len(page) < 3:
                break
            after = page[-1]["id"]
        self.assertEqual(seen, self.of(*range(7)))

    def test_totals_and_the_newest_first_without_any_key(self):
        status = self.engine.json("status")
        self.assertEqual((status["studies"], status["instances"], status["patients"], status["series"]), (7, 7, 7, 7))
        self.assertEqual(self.found("--limit", 2), self.of(5, 6))
        first = self.engine.json("studies", "--limit", 1)[0]
        self.assertEqual((first["patient_id"], first["received_patient_id"]), ("N-OTHER", "OTHER"))
        self.assertTrue(first["first_received"])
