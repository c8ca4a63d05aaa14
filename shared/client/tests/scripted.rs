//! The client against members that do as they are told: lie, hang up, fall silent, point at each other.

use rafty_client::blocking::{ClusterClient, DistributedDict};
use rafty_client::{Address, Ask, Change, ClientError, Limits, Session};
use rafty_types::{Serial, SessionId};
use rafty_wire::client::{ClientToken, Parser, Reply, Request, encode_answer, encode_entries};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a member does with a request.
enum Act {
    Say(Vec<u8>),
    HangUp,
    Hang,
}

/// A member that answers its n-th request as the script says, and what it was asked.
struct Member {
    address: String,
    asked: Arc<Mutex<Vec<Ask>>>,
}

impl Member {
    fn start(script: impl Fn(usize, &Ask) -> Act + Send + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").expect("a port"), script)
    }

    fn on(listener: TcpListener, script: impl Fn(usize, &Ask) -> Act + Send + 'static) -> Self {
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut hanging = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let ask = read_request(&mut stream).ask;
                let turn = log.lock().unwrap().len();
                log.lock().unwrap().push(ask.clone());
                match script(turn, &ask) {
                    Act::Say(reply) => stream.write_all(&reply).expect("it listens"),
                    Act::HangUp => {}
                    Act::Hang => hanging.push(stream),
                }
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap().clone()
    }
}

fn read_request(stream: &mut TcpStream) -> Request {
    let mut parser = Parser::default();
    let mut chunk = [0; 4096];
    loop {
        if let Some(request) = parser.next_request().expect("a request") {
            return request;
        }
        let read = stream.read(&mut chunk).expect("bytes");
        assert!(read > 0, "the client hung up");
        parser.feed(&chunk[..read]);
    }
}

fn limits() -> Limits {
    Limits {
        patience: Duration::from_secs(5),
        tries: 8,
        answer_within: Duration::from_millis(100),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(8),
        ..Limits::default()
    }
}

fn client(members: &[&Member]) -> ClusterClient {
    ClusterClient::with_limits(members.iter().map(|member| &member.address), limits()).expect("addresses")
}

fn set(key: &str) -> Change {
    Change::Set { key: key.into(), value: vec![1] }
}

fn redirect_to(address: &str) -> Act {
    let (host, port) = address.rsplit_once(':').expect("an address");
    Act::Say(Reply::Redirect { leader: Address(host.into(), port.parse().unwrap()) }.encode())
}

fn say(reply: &Reply) -> Act {
    Act::Say(reply.encode())
}

/// Opens sessions 10, 11, 12, … and does with the n-th append as the script says.
fn with_sessions(appends: impl Fn(usize) -> Act + Send + 'static) -> Member {
    let count = Mutex::new((9, 0));
    Member::start(move |_, ask| {
        let (sessions, done) = &mut *count.lock().unwrap();
        if matches!(ask, Ask::Session) {
            *sessions += 1;
            return say(&Reply::Session { session: SessionId(*sessions) });
        }
        *done += 1;
        appends(*done - 1)
    })
}

/// The sessions and serials of what was appended.
fn numbers(member: &Member) -> Vec<(u64, u64)> {
    let number = |ask| match ask {
        Ask::Append { session: Some((SessionId(id), Serial(serial))), .. } => Some((id, serial)),
        _ => None,
    };
    member.asked().into_iter().filter_map(number).collect()
}

#[test]
fn members_that_point_at_each_other_end_in_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let second = listener.local_addr().unwrap().to_string();
    let one = Member::start(move |_, _| redirect_to(&second));
    let back = one.address.clone();
    let two = Member::on(listener, move |_, _| redirect_to(&back));
    let result = client(&[&one]).append_log(set("lamp"));
    assert!(matches!(result, Err(ClientError::NoLeader(_))), "{result:?}");
    assert_eq!(one.asked().len() + two.asked().len(), limits().tries as usize);
}

#[test]
fn a_redirect_is_followed_and_the_leader_is_asked_first_from_then_on() {
    let leader = Member::start(|_, _| say(&Reply::done()));
    let to = leader.address.clone();
    let follower = Member::start(move |_, _| redirect_to(&to));
    let client = client(&[&follower]);
    for _ in 0..3 {
        client.append_log(set("lamp")).expect("it counts");
    }
    assert_eq!((follower.asked().len(), leader.asked().len()), (1, 3));
}

#[test]
fn a_change_without_a_session_that_is_not_answered_is_sent_once_only() {
    for act in [|| Act::HangUp, || Act::Hang, || Act::Say(vec![0x93, 1]), || Act::Say(b"HTTP/1.1 400".into())]
    {
        let member = Member::start(move |_, _| act());
        let result = client(&[&member]).append_log(set("lamp"));
        assert!(matches!(result, Err(ClientError::UnknownOutcome(_))), "{result:?}");
        assert_eq!(member.asked().len(), 1);
    }
}

#[test]
fn what_was_certainly_not_done_is_tried_again() {
    let not_now = |code: &str| say(&Reply::failed(code, "not now"));
    let busy = || say(&Reply::Error { error: "busy".into(), detail: String::new() });
    let member = Member::start(move |turn, _| match turn {
        0 => not_now("no_leader"),
        1 => busy(),
        2 => not_now("change_pending"),
        _ => say(&Reply::done()),
    });
    client(&[&member]).append_log(set("lamp")).expect("it counts");
    assert_eq!(member.asked().len(), 4);
}

#[test]
fn nobody_there_and_nobody_leading_are_told_apart() {
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let client = ClusterClient::with_limits([&gone], limits()).unwrap();
    assert!(matches!(client.append_log(set("lamp")), Err(ClientError::Unreachable(_))));
    assert!(matches!(client.get_state(), Err(ClientError::Unreachable(_))));
    let alone = Member::start(|_, _| say(&Reply::failed("no_leader", "too few voters")));
    let client = ClusterClient::with_limits([&gone, &alone.address], limits()).unwrap();
    let result = client.append_log(set("lamp"));
    assert!(matches!(result, Err(ClientError::NoLeader(_))), "{result:?}");
}

#[test]
fn a_session_sends_the_same_serial_until_it_is_answered_and_then_the_next() {
    let member = with_sessions(|turn| match turn {
        0 => Act::HangUp,
        1 => say(&Reply::failed("unknown_outcome", "leadership changed")),
        2 => Act::Hang,
        _ => say(&Reply::done()),
    });
    let (client, mut session) = (client(&[&member]), Session::default());
    for key in ["a", "b"] {
        client.append_once(&mut session, &set(key)).expect("it counts");
    }
    assert_eq!(numbers(&member), [(10, 1), (10, 1), (10, 1), (10, 1), (10, 2)]);
}

#[test]
fn a_forgotten_session_is_opened_again_unless_it_may_have_done_its_work() {
    let forgotten = || say(&Reply::failed("unknown_session", "open a new one"));
    let member = with_sessions(move |turn| if turn == 1 { forgotten() } else { say(&Reply::done()) });
    let (reached, mut session) = (client(&[&member]), Session::default());
    for key in ["a", "b"] {
        reached.append_once(&mut session, &set(key)).expect("it counts");
    }
    assert_eq!(numbers(&member), [(10, 1), (10, 2), (11, 1)]);

    let member = with_sessions(move |turn| match turn {
        0 => Act::HangUp,
        1 => forgotten(),
        _ => say(&Reply::done()),
    });
    let (reached, mut session) = (client(&[&member]), Session::default());
    let result = reached.append_once(&mut session, &set("a"));
    assert!(matches!(result, Err(ClientError::UnknownOutcome(_))), "{result:?}");
    reached.append_once(&mut session, &set("b")).expect("it counts");
    assert_eq!(numbers(&member), [(10, 1), (10, 1), (11, 1)]);
}

#[test]
fn a_serial_that_somebody_else_used_is_given_up_and_the_change_goes_through_another_session() {
    let reused = || say(&Reply::failed("serial_reused", "open a new one"));
    let member = with_sessions(move |turn| match turn {
        1 | 4 => reused(),
        // In doubt, too: had the change counted, its serial would be its own.
        3 => Act::HangUp,
        _ => say(&Reply::done()),
    });
    let (reached, mut session) = (client(&[&member]), Session::default());
    for key in ["a", "b", "c"] {
        reached.append_once(&mut session, &set(key)).expect("it counts");
    }
    assert_eq!(numbers(&member), [(10, 1), (10, 2), (11, 1), (11, 2), (11, 2), (12, 1)]);
}

/// Answers appends of sessions that it did not open as a member does that is asked by programs without a token.
fn knows_only(own: u64, appends: impl Fn(usize) -> Act + Send + 'static) -> Member {
    let count = Mutex::new(0);
    Member::start(move |_, ask| match ask {
        Ask::Append { session: Some((SessionId(id), _)), .. } if *id == own => {
            *count.lock().unwrap() += 1;
            appends(*count.lock().unwrap() - 1)
        }
        Ask::Session => say(&Reply::Session { session: SessionId(own) }),
        _ => say(&Reply::failed("unknown_session", "open a new one")),
    })
}

#[test]
fn without_a_token_only_the_member_that_opened_a_session_tells_what_became_of_a_change() {
    for _ in 0..8 {
        let appends = |turn| if turn == 1 { Act::HangUp } else { say(&Reply::done()) };
        let two = [knows_only(10, appends), knows_only(20, appends)];
        let (client, mut session) = (client(&[&two[0], &two[1]]), Session::default());
        for key in ["a", "b"] {
            client.append_once(&mut session, &set(key)).expect("it counts");
        }
        let asked: Vec<_> = two.iter().flat_map(numbers).collect();
        let id = asked[0].0;
        assert!(asked.iter().all(|(of, _)| *of == id), "one session: {asked:?}");
        assert_eq!(asked.len(), 4, "asked, not answered, asked elsewhere, asked again: {asked:?}");
    }
}

#[test]
fn without_a_token_a_change_is_begun_anew_elsewhere_when_the_member_that_opened_its_session_will_not() {
    for _ in 0..8 {
        let stops_after_one = AtomicBool::new(false);
        let stops = Member::start(move |_, ask| match ask {
            _ if stops_after_one.load(Ordering::Relaxed) => say(&Reply::failed("stopping", "")),
            Ask::Session => say(&Reply::Session { session: SessionId(10) }),
            Ask::Append { session: Some((SessionId(10), _)), .. } => {
                stops_after_one.store(true, Ordering::Relaxed);
                say(&Reply::done())
            }
            _ => say(&Reply::failed("unknown_session", "open a new one")),
        });
        let stays = knows_only(20, |_| say(&Reply::done()));
        let (client, mut session) = (client(&[&stops, &stays]), Session::default());
        for key in ["a", "b", "c"] {
            client.append_once(&mut session, &set(key)).expect("it counts");
        }
    }
}

#[test]
fn a_machine_of_its_own_is_commanded_once_and_its_bytes_are_given_as_they_are() {
    let member = with_sessions(|turn| match turn {
        0 => Act::HangUp,
        1 => Act::Say(encode_answer(b"41")),
        _ => Act::Say(encode_answer(&[0xc1])),
    });
    let (client, mut session) = (client(&[&member]), Session::default());
    assert_eq!(client.command_once(&mut session, &[0xff]), Ok(b"41".to_vec()));
    assert_eq!(numbers(&member), [(10, 1), (10, 1)]);
    assert_eq!(client.query(b"how many"), Ok(vec![0xc1]));
}

#[test]
fn a_session_that_is_always_forgotten_is_not_opened_for_ever() {
    let member = with_sessions(|_| say(&Reply::failed("unknown_session", "open a new one")));
    let result = client(&[&member]).append_once(&mut Session::default(), &set("a"));
    assert!(matches!(result, Err(ClientError::Refused { code, .. }) if code == "unknown_session"));
    assert_eq!(numbers(&member).len(), 3);
}

#[test]
fn a_serial_whose_change_was_never_answered_is_not_given_to_another() {
    let tries = limits().tries as usize;
    let member = with_sessions(move |turn| if turn < tries { Act::HangUp } else { say(&Reply::done()) });
    let (client, mut session) = (client(&[&member]), Session::default());
    let result = client.append_once(&mut session, &set("a"));
    assert!(matches!(result, Err(ClientError::UnknownOutcome(_))), "{result:?}");
    client.append_once(&mut session, &set("b")).expect("it counts");
    assert_eq!(numbers(&member).last(), Some(&(11, 1)));
}

#[test]
fn patience_ends_a_request_whose_tries_have_not() {
    let member = Member::start(|_, _| Act::Hang);
    let limits = Limits { patience: Duration::from_millis(300), tries: u32::MAX, ..limits() };
    let client = ClusterClient::with_limits([&member.address], limits).unwrap();
    let began = Instant::now();
    assert!(client.get_state().is_err());
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[test]
fn a_member_that_falls_silent_is_left_for_another_which_tells_who_all_are() {
    let silent = Member::start(|_, _| Act::Hang);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let own = Address("127.0.0.1".into(), listener.local_addr().unwrap().port());
    let cluster = [own.clone()];
    let entries: [(&[u8], &[u8]); 2] = [(b"lamp", b"\xc3"), (b"type", b"\xa8redirect")];
    let good = Member::on(listener, move |_, _| Act::Say(encode_entries(&cluster, entries.into_iter(), 64)));
    let client = client(&[&silent, &good]);
    for _ in 0..8 {
        assert_eq!(client.get_state().expect("one answers").entries.len(), 2);
    }
    assert_eq!(client.members(), [own]);
    assert!(silent.asked().len() <= 1, "who was not told is asked last");
}

#[test]
fn what_no_member_would_take_is_not_sent() {
    let member = Member::start(|_, _| Act::HangUp);
    let mut dict = DistributedDict::over(client(&[&member]));
    let code = |result: Result<(), ClientError>| match result {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code(dict.insert("cluster", &1)), "read_only_key");
    assert_eq!(code(dict.remove("cluster").map(drop)), "read_only_key");
    assert_eq!(code(dict.insert("k".repeat(1_025), &1)), "too_long");
    let too_long = "x".repeat(1024 * 1024);
    assert!(matches!(dict.insert("k", &too_long), Err(ClientError::Encode(_))));
    assert!(member.asked().is_empty());
    assert_eq!(format!("{dict:?}"), "{}");
}

/// Whoever does not speak TLS, falls silent in the handshake or hangs up hears nothing of a token, and is left in time.
#[test]
fn a_token_is_not_shown_to_whoever_does_not_shake_hands() {
    let token = ClientToken::from_secret([7; 32].into()).to_text();
    let busy = Reply::Error { error: "busy".into(), detail: String::new() }.encode();
    for says in [Some(busy), Some(b"HTTP/1.1 400".to_vec()), Some(Vec::new()), None] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().unwrap().to_string();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = heard.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                if let Some(says) = &says {
                    let _ = stream.write_all(says);
                } else {
                    let _ = stream.read_to_end(&mut notes.lock().unwrap());
                }
            }
        });
        let limits = Limits { tries: 3, ..limits() };
        let client = ClusterClient::with_limits([&address], limits).unwrap().with_token(&token).unwrap();
        let began = Instant::now();
        let result = client.append_log(set("lamp"));
        assert!(matches!(result, Err(ClientError::Unreachable(_))), "certainly not sent: {result:?}");
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        let heard = heard.lock().unwrap();
        assert!(!heard.windows(5).any(|window| window == b"rafty" || window == b"token"), "{heard:02x?}");
    }
}
