//! Joining, leaving, moving, and seats.

use crate::script::*;
use rafty_dictionary::{Entries, Event, FoundError, MAX_TOKENS, MAX_TTL_MS, Replicated};
use rafty_types::ControlCommand as C;
use rafty_types::MemberKind::{Agent, Operator};
use rafty_types::*;
use std::collections::BTreeSet;
use std::time::Duration;

#[test]
fn a_founded_peer_set_has_one_voter_and_stands_at_index_1() {
    let story = Script::founded_by("ann");
    let control = story.state.control();
    assert!(control.initialised());
    assert_eq!((control.cluster(), control.name(), control.feature_level()), (CLUSTER, "garden", 1));
    assert_eq!(story.state.applied(), Index(1));
    assert_eq!(control.desired_voters(), BTreeSet::from([MemberId(1)]));
    assert_eq!(control.member_by_key(&key_of("ann")).map(|ann| ann.id), Some(MemberId(1)));
}

#[test]
fn a_peer_set_is_not_founded_on_a_bad_genesis() {
    let found = |change: fn(&mut Genesis)| {
        let mut genesis = genesis("ann");
        change(&mut genesis);
        Replicated::found(genesis, Entries::default()).map(drop).unwrap_err()
    };
    let tenure = found(|genesis| genesis.settings.tenure = Duration::ZERO);
    assert!(matches!(tenure, FoundError::Settings(SettingsError { name: "tenure", .. })));
    let wrong: [fn(&mut Genesis); 7] = [
        |genesis| genesis.cluster = ClusterId::default(),
        |genesis| genesis.name.clear(),
        |genesis| genesis.founder.id = MemberId(2),
        |genesis| genesis.founder.seat = false,
        |genesis| genesis.founder.tenures = 1,
        |genesis| genesis.founder.addresses.clear(),
        |genesis| genesis.founder.rsa_public = vec![1; 300],
    ];
    for change in wrong {
        assert!(matches!(found(change), FoundError::Genesis(_)));
    }
}

#[test]
fn a_newcomer_before_its_first_snapshot_knows_nobody_and_refuses_everything() {
    let mut state = Replicated::new(Entries::default());
    assert!(!state.control().initialised());
    let story = Script::founded_by("ann");
    let proposal = story.proposal(MemberId(1), set("a", b"\x01"));
    let bytes = proposal.encode();
    let entry = Entry { index: Index(1), term: Term(1), payload: Payload::Command(bytes.into()) };
    assert!(matches!(why(&state.apply(&entry)), Some(Rejection::Invalid(_))), "it knows no feature level");
    assert_eq!(state.broken_invariant(), None);
}

#[test]
fn a_newcomer_starts_at_the_fewest_tenures_of_those_that_may_lead() {
    let mut story = Script::founded_by("ann");
    let watcher = TokenRecord { may_lead: false, ..token("watcher", Agent, 1) };
    story.does("ann", C::TokenCreated(watcher.clone()));
    story.does("ann", C::Enrol(enrolment("wes", &watcher, "watcher", 1)));
    story.leads("ann");
    story.leads("ann");
    story.joins("bob", Operator);
    assert_eq!(story.member("bob").tenures, 2);
}

#[test]
fn joining_needs_every_proof() {
    let mut story = Script::founded_by("ann");
    let ticket = token("ticket", Agent, 9);
    story.does("ann", C::TokenCreated(ticket.clone()));
    let good = || enrolment("bob", &ticket, "ticket", 1);
    let mut refused = |enrolment| story.cannot("ann", C::Enrol(enrolment));

    assert_eq!(refused(enrolment("bob", &ticket, "forged", 1)), Rejection::BadSignature);
    assert_eq!(refused(Enrolment { own_signature: sign("eve", b""), ..good() }), Rejection::BadSignature);
    assert_eq!(refused(Enrolment { token: [9; 16], ..good() }), Rejection::UnknownToken);
    assert_eq!(refused(again("bob", MemberId(9), 1)), Rejection::UnknownMember);
    assert_eq!(refused(enrolment("ann", &ticket, "ticket", 1)), Rejection::AlreadyMember);

    let altered: [fn(&mut EnrolmentStatement); 7] = [
        |statement| statement.set.cluster = ClusterId([8; 16]),
        |statement| statement.set.epoch = statement.set.epoch.recovered([1; 16]),
        |statement| statement.addresses.clear(),
        |statement| statement.addresses = vec![address(1); MAX_ADDRESSES + 1],
        |statement| statement.rsa_public.clear(),
        |statement| statement.rsa_public = vec![1; 300],
        |statement| statement.rsa_public.push(0),
    ];
    for alter in altered {
        let mut statement = good().statement;
        alter(&mut statement);
        let own_signature = sign("bob", &statement.to_bytes());
        let token_signature = sign("ticket", &statement.to_bytes());
        let wrong = Enrolment { statement, own_signature, token_signature, ..good() };
        assert!(matches!(refused(wrong), Rejection::Invalid(_)));
    }
}

#[test]
fn tokens_are_bounded_and_expired_ones_make_room() {
    let mut story = Script::founded_by("ann");
    let numbered = |n: usize| TokenRecord {
        id: [(n / 200 + 1) as u8, (n % 200) as u8, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        ..token("t", Agent, 1)
    };
    for n in 0..MAX_TOKENS {
        story.does("ann", C::TokenCreated(numbered(n)));
    }
    assert!(matches!(story.cannot("ann", C::TokenCreated(numbered(MAX_TOKENS))), Rejection::Invalid(_)));
    story.now_ms += HOUR_MS;
    let later = TokenRecord { ttl_ms: 2 * HOUR_MS, ..numbered(MAX_TOKENS) };
    story.does("ann", C::TokenCreated(later.clone()));
    assert_eq!(story.state.control().tokens().len(), 1);

    assert_eq!(story.cannot("ann", C::TokenCreated(later)), Rejection::Duplicate);
    for wrong in [
        TokenRecord { id: [0; 16], ..token("z", Agent, 1) },
        TokenRecord { ttl_ms: 0, ..token("z", Agent, 1) },
        TokenRecord { ttl_ms: MAX_TTL_MS + 1, ..token("z", Agent, 1) },
        token("z", Agent, 0),
        token("z", Agent, 1_001),
    ] {
        assert!(matches!(story.cannot("ann", C::TokenCreated(wrong)), Rejection::Invalid(_)));
    }
}

#[test]
fn a_full_peer_set_admits_nobody() {
    let mut story = Script::founded_by("ann");
    for name in ["bob", "cid", "dan", "eve", "fay"] {
        story.joins(name, Agent);
    }
    let ticket = token("ticket", Agent, 1);
    story.does("ann", C::TokenCreated(ticket.clone()));
    assert_eq!(story.cannot("ann", C::Enrol(enrolment("gus", &ticket, "ticket", 1))), Rejection::Full);
    story.does("ann", story.revoke("bob"));
    story.does("ann", C::Enrol(enrolment("gus", &ticket, "ticket", 1)));
}

#[test]
fn nobody_can_repeat_a_statement_that_stands_in_the_log() {
    let mut story = Script::founded_by("ann");
    let ticket = token("ticket", Agent, 9);
    story.does("ann", C::TokenCreated(ticket.clone()));
    let first = enrolment("bob", &ticket, "ticket", 1);
    story.does("ann", C::Enrol(first.clone()));
    let bob = story.knows("bob");
    story.joins("eve", Agent);

    // Eve read Bob's enrolment in the log: she can neither have his id replaced …
    let replayed = Enrolment { token: Enrolment::naming(bob), ..first.clone() };
    assert_eq!(story.cannot("eve", C::Enrol(replayed)), Rejection::BadSignature);
    story.does("ann", C::Enrol(again("bob", bob, 2)));
    story.knows("bob");
    assert_eq!(story.cannot("eve", C::Enrol(again("bob", bob, 2))), Rejection::Duplicate);
    // … nor bring him back once he is revoked, although the token admits more.
    story.does("ann", story.revoke("bob"));
    assert_eq!(story.cannot("eve", C::Enrol(first)), Rejection::Duplicate);
}

#[test]
fn who_comes_back_replaces_nobody_but_whom_it_names() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Agent);
    let first = story.id("bob");
    // Bob asked Ann, who did not answer, and then Eve; Ann proposes what he asked when he runs again.
    let (kept, taken) = (again("bob", first, 1), again("bob", first, 2));
    story.does("ann", C::Enrol(taken));
    let second = story.knows("bob");
    assert_eq!(story.cannot("ann", C::Enrol(kept)), Rejection::Renamed(second));
    assert_eq!(story.state.control().members().len(), 2);
    // He never heard that he was taken back: he is told whom to name.
    assert_eq!(story.cannot("ann", C::Enrol(again("bob", first, 3))), Rejection::Renamed(second));
    story.does("ann", C::Enrol(again("bob", second, 4)));
    assert_ne!(story.knows("bob"), second);
    // What says another id than was signed is nobody's.
    let altered = Enrolment { token: Enrolment::naming(story.id("bob")), ..again("bob", first, 5) };
    assert_eq!(story.cannot("ann", C::Enrol(altered)), Rejection::BadSignature);
}

#[test]
fn who_was_sent_away_is_remembered_until_it_joins_again() {
    let mut story = Script::founded_by("ann");
    let ticket = token("ticket", Agent, 9);
    story.does("ann", C::TokenCreated(ticket.clone()));
    story.does("ann", C::Enrol(enrolment("bob", &ticket, "ticket", 1)));
    let bob = story.knows("bob");
    let departed = |story: &Script| -> Vec<_> {
        let members = story.state.control().departed();
        members.map(|member| (member.id, member.addresses.len(), member.rsa_public.len())).collect()
    };
    story.does("ann", story.revoke("bob"));
    assert_eq!(departed(&story), [(bob, 1, 0)], "its addresses, not its key");
    story.does("ann", C::Enrol(enrolment("bob", &ticket, "ticket", 2)));
    assert_eq!(departed(&story), []);
    for number in 0..70 {
        let name = format!("passer-by {number}");
        story.joins(&name, Agent);
        story.does("ann", story.revoke(&name));
    }
    assert_eq!(departed(&story).len(), 64);
}

#[test]
fn a_device_may_leave_but_not_revoke_invite_or_govern() {
    let mut story = Script::founded_by("ann");
    story.joins("bob", Agent);
    let run = story.submits("ann", 3);
    for command in [
        story.revoke("ann"),
        C::TokenCreated(token("ticket", Agent, 1)),
        C::RunSubmitted(run_spec(1)),
        C::RunStopped { run },
        C::RolledBack { run, version: Version(0) },
        C::FeatureLevel { level: 2, without: Vec::new() },
    ] {
        assert_eq!(story.cannot("bob", command), Rejection::NotAllowed);
    }
    story.does("bob", story.revoke("bob"));
}

#[test]
fn keys_and_addresses_change_by_their_owner_with_its_signature() {
    let mut story = Script::founded_by("ann");
    let bob = story.joins("bob", Agent);
    let rotate = |rsa_public: Vec<u8>| C::RotateKey { member: bob, rsa_public };
    let moved = |addresses: Vec<std::net::SocketAddr>| C::AddressChanged { member: bob, addresses };
    for command in [rotate(rsa_key(b"new")), moved(vec![address(5)])] {
        assert_eq!(story.cannot("ann", command.clone()), Rejection::NotAllowed);
        let command = Command::Control(command);
        let issue = story.issue_signed_by("ann", bob, &command);
        let forged = Proposal { issue, ..story.proposal(bob, command) };
        assert_eq!(story.refuses(&forged), Rejection::BadSignature);
    }
    for command in [rotate(vec![]), rotate(vec![1; 300]), moved(vec![]), moved(vec![address(1); 9])] {
        assert!(matches!(story.cannot("bob", command), Rejection::Invalid(_)));
    }
    assert_eq!(story.does("bob", rotate(rsa_key(b"new"))), [Event::RosterChanged]);
    assert_eq!(story.does("bob", moved(vec![address(5)])), [Event::RosterChanged]);
    assert_eq!(
        (&story.member("bob").rsa_public, &story.member("bob").addresses),
        (&rsa_key(b"new"), &vec![address(5)])
    );
}
