//! Clients' tokens: pinned, since every client of any language derives the same from one.

use rafty_wire::client::{ClientToken, ClientTokenError, prove};

const TEXT: &str = "rafty-client1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyprkhb4";

fn token(first: u8) -> ClientToken {
    ClientToken::from_secret(std::array::from_fn(|at| first + at as u8).into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_is_derived_from_a_token_is_pinned() {
    let record = token(0).record("phone".into(), true, 7);
    assert_eq!(token(0).to_text().as_str(), TEXT);
    assert_eq!(record.id, token(0).id());
    assert_eq!(hex(&record.id), "5e7a153a8749299a12e2ae39cf9bf252");
    assert_eq!(hex(&record.stored_key), "374b6f8ce3e6e22b85ebb003a945f77f36b00629d393bd1dd2f1ed0041f97118");
    assert_eq!(hex(&record.server_key), "0fa36b7b2259c3ab09f45437038e005681474fec5bb75a853bba6d2a588c9652");
    assert_eq!(
        hex(&prove(&record, b"certificate")),
        "8b752fd48ef760b1f9d483e241291fef62f1a0a073f154537d7f0b2d5b403fa5"
    );
}

#[test]
fn a_token_is_of_its_own_record_only() {
    let record = token(0).record("phone".into(), false, 7);
    assert!(token(0).is_of(&record) && !token(1).is_of(&record));
    for at in 0..32 {
        let mut other = record.clone();
        other.stored_key[at] ^= 1;
        assert!(!token(0).is_of(&other), "byte {at}");
    }
    // Who can read the state has what the token hashes to, and that is not the token.
    assert!(!ClientToken::from_secret(record.stored_key.into()).is_of(&record));
    assert!(!ClientToken::from_secret(record.server_key.into()).is_of(&record));
}

#[test]
fn a_proof_holds_for_one_token_and_one_certificate() {
    let proof = prove(&token(0).record("phone".into(), false, 7), b"one");
    assert!(token(0).is_proved(&proof, b"one"));
    assert!(!token(0).is_proved(&proof, b"two"), "a man in the middle shows another certificate");
    assert!(!token(1).is_proved(&proof, b"one"));
    assert!(!token(0).is_proved(&proof[..31], b"one") && !token(0).is_proved(b"", b"one"));
}

#[test]
fn a_text_is_read_as_it_was_written_or_not_at_all() {
    assert_eq!(format!("  {TEXT}\n").parse(), Ok(token(0)));
    let parse = |text: &str| text.parse::<ClientToken>().unwrap_err();
    assert_eq!(parse(""), ClientTokenError::NotAToken);
    assert_eq!(parse("rafty1-abc"), ClientTokenError::NotAToken);
    assert_eq!(parse(&TEXT[..TEXT.len() - 1]), ClientTokenError::WrongLength(55));
    assert_eq!(parse(&format!("{TEXT}a")), ClientTokenError::WrongLength(57));
    let at = "rafty-client1-".len();
    for place in at..TEXT.len() {
        let other = if TEXT.as_bytes()[place] == b'z' { 'y' } else { 'z' };
        let typo = format!("{}{other}{}", &TEXT[..place], &TEXT[place + 1..]);
        assert_eq!(parse(&typo), ClientTokenError::Typo, "{typo}");
    }
    let (last_two, foreign) = (TEXT.len() - 2, "é");
    assert_eq!(parse(&format!("{}{foreign}", &TEXT[..last_two])), ClientTokenError::Typo);
    assert_eq!(parse(&format!("rafty-client1-{}", TEXT[at..].to_uppercase())), ClientTokenError::Typo);
}

#[test]
fn a_token_shows_nothing_of_itself() {
    let record = token(0).record("phone".into(), false, 7);
    assert_eq!(format!("{:?}", token(0)), "ClientToken(..)");
    let shown = format!("{record:?}");
    assert!(shown.contains("phone") && !shown.contains("key"), "{shown}");
}
