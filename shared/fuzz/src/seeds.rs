//! Where the fuzzer begins: the golden vectors of the formats, and a few values that lie behind them.
//!
//! The corpus is made of these and not kept: what the fuzzer finds beyond them it finds again. An input that ever
//! failed is kept in `regressions/`, by target.

use crate::history::set;
use crate::learning::small_task;
use crate::node::enrolment;
use crate::world::{aggregator_key, founded, participant_update, rsa_key};
use image::{ImageFormat, RgbImage};
use rafty_aggregation::{UpdateMeta, encode_update};
use rafty_learning_files::{Format, Task, encode_model};
use rafty_types::{
    Attempt, ClientRecord, Command, ControlCommand, Digest, Entry, Frame, HardState, Incarnation, Index, MemberId,
    Membership, Metrics, Payload, MemberKind, Progress, Proposal, Protection, Publication, RecordedIncarnation, Refusal, RestCause,
    Round, RunId, RunSpec, Serial, SessionId, SettingValue, Signature, SignedDigest, SnapshotMeta, Stamp, Strategy, Tenure, Term, TokenRecord,
    Verdict, Version,
};
use rafty_wire::HEADER_LEN;

const UNITS: &str = include_str!("../../wire/tests/golden.txt");
const REQUESTS_AND_REPLIES: &str = include_str!("../../wire/tests/client/golden.txt");
const ENVELOPE_HEAD: &[u8] = include_bytes!("../../seal/tests/golden/header.bin");
const TOKEN: &str = include_str!("../../seal/tests/golden/token.txt");
/// As its own golden test pins it.
const CLIENT_TOKEN: &str = "rafty-client1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyprkhb4";

/// An input to begin with.
pub struct Seed {
    /// For which target.
    pub target: &'static str,
    /// What it is.
    pub name: String,
    /// The input.
    pub bytes: Vec<u8>,
}

/// Every input to begin with.
pub fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, bytes: Vec<u8>| seeds.push(Seed { target, name: name.into(), bytes });
    for (name, unit) in golden(UNITS) {
        add("peer_unit", &format!("{name}-datagram"), [&[0, 0, 0, 0, 0, 0, 0, 1], &unit[..]].concat());
        add("peer_unit", &format!("{name}-body"), unit[HEADER_LEN..].to_vec());
        add("peer_unit", &name, unit);
    }
    for (name, bytes) in golden(REQUESTS_AND_REPLIES) {
        add("client_request", &name, [&[255], &bytes[..]].concat());
        add("client_reply", &name, bytes);
    }
    let in_a_row = golden(REQUESTS_AND_REPLIES).flat_map(|(_, bytes)| bytes);
    add("client_request", "in-a-row", [7].into_iter().chain(in_a_row).collect());
    add("envelope_head", "two-recipients", ENVELOPE_HEAD.to_vec());
    add("envelope_head", "one-recipient", participant_update().signed.encode());
    for flags in 0..8 {
        add("envelope_signed", &format!("flags-{flags}"), envelope(flags));
    }
    add("keys_and_tokens", "rsa", aggregator_key().public_der());
    add("keys_and_tokens", "token", TOKEN.into());
    add("keys_and_tokens", "client-token", CLIENT_TOKEN.into());
    add("keys_and_tokens", "digest", Digest::of(b"model").to_string().into());
    for params in 0..4 {
        add("model_update", &format!("{params}-weights"), [&[params][..], &update(params)].concat());
    }
    learning(&mut add);
    state(&mut add);
    machines(&mut add);
    seeds
}

fn golden(text: &'static str) -> impl Iterator<Item = (String, Vec<u8>)> {
    let byte = |digits: &[u8]| {
        let digits = str::from_utf8(digits).expect("golden files are text");
        u8::from_str_radix(digits, 16).expect("golden files hold hexadecimal digits")
    };
    text.lines().map(move |line| {
        let (name, digits) = line.split_once(' ').expect("a name and its bytes");
        (name.to_string(), digits.as_bytes().chunks(2).map(byte).collect())
    })
}

fn envelope(flags: u8) -> Vec<u8> {
    let sealed = participant_update();
    let len = u16::try_from(sealed.ciphertext.len()).expect("a short ciphertext");
    let header = postcard::to_allocvec(sealed.signed.header()).expect("a header always encodes");
    [&[flags], &len.to_be_bytes()[..], &sealed.ciphertext, &header].concat()
}

fn update(params: u8) -> Vec<u8> {
    let metrics = Metrics { examples: 50, correct: 40, loss_micros: 700_000, train_loss_micros: 600_000 };
    let weights = vec![0.25; usize::from(params)];
    encode_update(&UpdateMeta { num_examples: 100, metrics }, &weights)
}

fn learning(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let small = small_task(Format::Csv);
    for task in [Task::digits_cnn(), Task::digits_mlp(), small_task(Format::Idx), small.clone()] {
        add("task", &format!("{}-{:?}", task.name, task.data.format), task.to_toml().into());
    }
    for (name, weight) in [("model", 0.5), ("model-nan", f32::NAN)] {
        let weights = vec![weight; small.num_params()];
        add("model_file", name, encode_model(&small.to_toml(), small.layout(), &weights));
    }
    let images = b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02\x01\x02\x03\x04";
    let labels = b"\0\0\x08\x01\0\0\0\x02\0\x01";
    add("table", "idx", [&[20], &images[..], labels].concat());
    add("table", "csv", b"\0width,class,height\n1.5,0,2\n-3,1,4e2\n1.5,0,2\n".to_vec());
    add("table", "csv-of-names", b"\0width,species\n1,cat\n2,dog\n3,cat\n".to_vec());
    let head = b"\0\x93NUMPY\x01\0\x3a\0{'descr': '|u1', 'fortran_order': False, 'shape': (2, 2)}\n";
    add("table", "npy", [&head[..], &[1, 2, 3, 4]].concat());
    for (name, format) in [("png", ImageFormat::Png), ("jpeg", ImageFormat::Jpeg)] {
        let image = RgbImage::from_fn(3, 2, |x, y| [40 * x as u8, 90 * y as u8, 7].into());
        let mut file = std::io::Cursor::new(vec![3]);
        file.set_position(1);
        image.write_to(&mut file, format).expect("a vector takes every write");
        add("picture", name, file.into_inner());
    }
    add("table", "pgm", b"\0P5 # grey\n2 1 255\n\x01\x02".to_vec());
}

/// The commands of a small history; what the targets put right (ids, tenures, signatures) is left out.
fn commands() -> Vec<Command> {
    use ControlCommand as C;
    let (tenure, run, round, attempt) = (Tenure(0), RunId(0), Round(1), Attempt(1));
    let token = TokenRecord {
        id: [1; 16],
        public_key: Default::default(),
        role: MemberKind::Operator,
        may_lead: true,
        ttl_ms: 3_600_000,
        uses: 2,
    };
    let client = ClientRecord {
        name: "phone".into(),
        id: [3; 16],
        stored_key: [4; 32],
        server_key: [5; 32],
        read_only: false,
        ttl_ms: 3_600_000,
    };
    let spec = RunSpec {
        name: "digits".into(),
        task: "a task".into(),
        rounds: 2,
        seed: 7,
        strategy: Strategy::FedAvg,
    };
    let accepted = |participant| C::UpdateAccepted {
        tenure,
        run,
        round,
        attempt,
        participant,
        digest: Digest([6; 32]),
        num_examples: 100,
        collected_ms: 1_000,
        arrived_ms: Some(1_000),
    };
    let published = Publication {
        tenure,
        run,
        round,
        attempt,
        counted: Vec::new(),
        refused: vec![(MemberId(1), Refusal::OverNorm)],
        resting: vec![(MemberId(2), RestCause::Data)],
        version: Version(1),
        model: Digest([8; 32]),
        metrics: Metrics::default(),
        duration_ms: 2_000,
    };
    let opened = || C::RoundOpened { tenure, run, round, base: Version(0), protection: Protection::None };
    let failed = C::RoundFailed { tenure, run, round, attempt, reason: "no quorum".into() };
    let (member, signature) = (MemberId(3), Signature::default());
    let incarnation = Incarnation { number: 4, nonce: 9 };
    let recorded = RecordedIncarnation { member, incarnation, matched: Index(7) };
    let control = [
        C::TokenCreated(token),
        C::Enrol(enrolment(MemberId(3), [1; 16])),
        C::SeatChanged { give: vec![MemberId(3)], take: Vec::new() },
        C::TenureBegan { member: MemberId(1), rsa_public: rsa_key(9) },
        C::RunSubmitted(spec),
        opened(),
        accepted(MemberId(1)),
        failed,
        accepted(MemberId(3)),
        C::RoundPublished(published),
        opened(),
        C::RolledBack { run: RunId(6), version: Version(1) },
        C::RotateKey { member, rsa_public: rsa_key(3) },
        C::AddressChanged { member, addresses: vec![([10, 0, 0, 9], 7_000).into()] },
        C::ReachabilityChanged { member, silent: true },
        C::ClientCreated(client),
        C::SessionOpened,
        C::SessionClosed { session: SessionId(18) },
        C::ClientRevoked { name: "phone".into() },
        C::IncarnationsRecorded(vec![recorded]),
        C::StateDigestsRecorded {
            mark: Index(7),
            digests: vec![SignedDigest { member, digest: Digest::default(), signature }],
        },
        C::RunStopped { run: RunId(6) },
        C::SeatChanged { give: Vec::new(), take: vec![MemberId(3)] },
        C::Revoke { member },
        C::SettingChanged { name: "quorum".into(), value: SettingValue::Number(70) },
        C::Supports { member, level: 2 },
        C::FeatureLevel { level: 2, without: vec![member] },
    ];
    let user = [set(b"colour", b"\xa4blue"), set(b"cluster", b"\x01")];
    user.into_iter().chain(control.map(Command::Control)).collect()
}

/// With a first byte that has everything put right.
fn proposal(command: Command, session: Option<(SessionId, Serial)>) -> Vec<u8> {
    let proposal = Proposal { origin: MemberId(1), term: Term(1), stamp: Stamp::Elapsed { elapsed_ms: 1_000, wall_ms: 1_000 }, session, client: None, issue: None, command };
    [&[7], &proposal.encode()[..]].concat()
}

fn state(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let history: Vec<u8> = commands().into_iter().flat_map(|command| proposal(command, None)).collect();
    let snapshot = founded().snapshot();
    let len = u16::try_from(snapshot.len()).expect("a small state").to_be_bytes();
    let in_session = |serial| proposal(set(b"once", b"\x01"), Some((SessionId(2), Serial(serial))));
    let opened = proposal(Command::Control(ControlCommand::SessionOpened), None);
    add("log", "in-a-session", [opened, in_session(1), in_session(1), in_session(2)].concat());
    add("log", "no-proposal", b"\0what is this".to_vec());
    add("snapshot", "founded", [&len[..], &snapshot, &history].concat());
    for (n, command) in commands().into_iter().enumerate() {
        add("log", &format!("command-{n}"), proposal(command, None));
    }
    let after = crate::history::after(&history);
    let len = u16::try_from(after.len()).expect("a small state").to_be_bytes();
    add("snapshot", "lived-in", [&len[..], &after].concat());
    add("log", "history", history);
}

fn machines(add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let entry = |index, payload| Entry { index: Index(index), term: Term(2), payload };
    let membership = Membership { voters: vec![MemberId(1), MemberId(2)], ..Membership::default() };
    let meta = SnapshotMeta { index: Index(4), term: Term(2), membership };
    let hard_state = HardState { term: Term(3), voted_for: Some(MemberId(2)), commit: Index(5) };
    let log =
        vec![entry(4, Payload::Empty), entry(5, Payload::Command([1].into())), entry(6, Payload::Empty)];
    let disk = postcard::to_allocvec(&(hard_state, meta, log)).expect("a disk encodes");
    add("boot", "founded", disk);
    let fresh = (HardState::default(), SnapshotMeta::default(), Vec::<Entry>::new());
    add("boot", "fresh", postcard::to_allocvec(&fresh).expect("a disk encodes"));

    // A tick, a sync, and each kind of message with what is plausible, to each peer set.
    for choice in 0..8u8 {
        let steps: Vec<u8> =
            (0..32u8).flat_map(|step| [30, 26, step, 1, 0, 4, 4, 3, 4, 4, 2, 1, 4, 0]).collect();
        add("raft_message", &format!("every-step-{choice}"), [&[choice][..], &steps].concat());
        let quiet: Vec<u8> = [30, 26].repeat(40);
        add("raft_message", &format!("quiet-{choice}"), [&[choice][..], &quiet].concat());
        node(choice, add);
    }
}

/// A node comes to lead (or does not), a run is submitted, and others say what belongs to it.
fn node(choice: u8, add: &mut impl FnMut(&'static str, &str, Vec<u8>)) {
    let begin = [30, 29].repeat(60);
    let submit = [19, 1, 100];
    let work = [15, 0, 1, 29, 30].repeat(20);
    let (run, round, attempt, model) = (RunId(8), Round(1), Attempt(1), Digest([1; 32]));
    let frames = [
        Frame::Announce { run, version: Version(0), model },
        Frame::FetchModel { run, version: Version(0), model },
        Frame::Holds { model },
        Frame::Progress { run, round, progress: Progress::Training(100) },
        Frame::Verdict { tenure: Tenure(7), run, round, attempt, digest: model, verdict: Verdict::Accepted },
        Frame::Transfer { to: MemberId(3) },
        Frame::AskRoster { known: Index(0) },
        Frame::AskVoters,
        Frame::Voters { index: Index(900), term: Term(7), voters: vec![MemberId(2), MemberId(3)] },
        Frame::Roster { index: Index(900), members: Vec::new() },
        Frame::Forward { request: 1, session: None, command: Box::new(set(b"colour", b"\x01")) },
    ];
    let said = frames.iter().flat_map(|frame| {
        let frame = postcard::to_allocvec(frame).expect("a frame encodes");
        [&[0, 2, 1], &frame[..], &[30, 29]].concat()
    });
    let envelope = [12, 2, 0, 0, 0, 4, 0, 1, 0, 0, 15, 0, 1];
    let all = [&[choice][..], &begin, &submit, &work, &said.collect::<Vec<_>>(), &envelope, &work, &begin];
    add("node_frame", &format!("a-round-{choice}"), all.concat());
}
