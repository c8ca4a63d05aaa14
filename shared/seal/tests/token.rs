//! What an operator copies, and what a newcomer proves with it.

mod fixture;

use fixture::*;
use proptest::prelude::*;
use rafty_seal::{Token, TokenError, enrol, re_enrol};
use rafty_types::{ClusterId, MemberId, MemberKind, Signature};

fn token() -> Token {
    Token::generate(ClusterId([9; 16]), &identity(AGGREGATOR).key(), &mut rng(5))
}

#[test]
fn a_printed_token_reads_back_however_it_was_pasted() {
    let token = token();
    let text = token.to_text();
    assert_eq!(text.len(), 143);
    assert_eq!(text.parse(), Ok(token.clone()));
    assert_eq!(text.to_uppercase().parse(), Ok(token.clone()));
    let wrapped = format!("  {}\r\n   {}\n", &text[..70], &text[70..]);
    assert_eq!(wrapped.parse(), Ok(token));
}

#[test]
fn a_wrong_text_is_told_what_is_wrong() {
    let text = token().to_text().to_string();
    let parse = |text: &str| text.parse::<Token>().unwrap_err();
    assert_eq!(parse(""), TokenError::NotAToken);
    assert_eq!(parse("hunter2"), TokenError::NotAToken);
    assert_eq!(parse(&text.replace("rafty1-", "rafty9-")), TokenError::NotAToken);
    assert_eq!(parse("rafty1-"), TokenError::CutOff { missing: 136 });
    assert_eq!(parse(&text[..142]), TokenError::CutOff { missing: 1 });
    assert_eq!(parse(&format!("{text}a")), TokenError::TooLong);
    assert_eq!(parse(&format!("{text}{}", "a".repeat(10_000))), TokenError::TooLong);
    assert_eq!(parse(&format!("{text}{}", " ".repeat(10_000))), TokenError::TooLong);
    assert_eq!(parse(&format!("{}0{}", &text[..7], &text[8..])), TokenError::BadCharacter { position: 8 });
    assert_eq!(parse(&format!("{}ä", &text[..142])), TokenError::BadCharacter { position: 143 });
}

#[test]
fn every_typing_error_is_found() {
    let text = token().to_text();
    for at in 7..text.len() {
        for other in ["a", "q", "7"] {
            let typed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            if typed != *text {
                assert_eq!(typed.parse::<Token>(), Err(TokenError::Typo), "character {at}");
            }
        }
        let swapped = format!("{}{}{}", &text[..at], &text[at + 1..], &text[at..=at]);
        assert!(
            swapped == *text || swapped.parse::<Token>() == Err(TokenError::Typo),
            "character {at} moved"
        );
    }
}

#[test]
fn the_secret_does_not_show() {
    let token = token();
    assert_eq!(format!("{token:?}"), "Token { cluster: ClusterId(090909090909), .. }");
}

#[test]
fn the_record_lets_peers_check_and_not_mint() {
    let token = token();
    let record = token.record(MemberKind::Agent, true, 1_700_000_000_000, 3);
    assert_eq!(record.id, token.id);
    assert_eq!(record.public_key, token.signing_identity().key());
    assert_eq!(
        (record.role, record.may_lead, record.ttl_ms, record.uses),
        (MemberKind::Agent, true, 1_700_000_000_000, 3)
    );
    let mut elsewhere = token.clone();
    elsewhere.cluster = ClusterId([8; 16]);
    assert_ne!(elsewhere.signing_identity().key(), record.public_key, "bound to its cluster");
    assert!(token.is_answered_by(&identity(AGGREGATOR).key()));
    assert!(!token.is_answered_by(&identity(BYSTANDER).key()));
}

#[test]
fn an_enrolment_proves_both_keys() {
    let (token, newcomer, rsa) = (token(), identity(PARTICIPANT), rsa_key(PARTICIPANT));
    let addresses = vec!["192.0.2.7:4100".parse().unwrap()];
    let set = rafty_types::SetId::first(token.cluster);
    let enrolment = enrol(&newcomer, rsa.public(), &token, set, [4; 32], addresses.clone());
    let bytes = enrolment.statement.to_bytes();
    let record = token.record(MemberKind::Agent, true, 0, 1);
    assert_eq!(enrolment.token, record.id);
    assert!(newcomer.key().verify(&bytes, &enrolment.own_signature));
    assert!(record.public_key.verify(&bytes, &enrolment.token_signature));
    assert_eq!(enrolment.statement.set, set);
    assert_eq!(enrolment.statement.key, newcomer.key());
    assert_eq!(enrolment.statement.rsa_public, rsa.public_der());
    assert_eq!(enrolment.statement.exporter, [4; 32]);

    assert_eq!(enrolment.replaced(), None);
}

#[test]
fn a_return_names_whom_it_replaces() {
    let (newcomer, rsa) = (identity(PARTICIPANT), rsa_key(PARTICIPANT));
    let set = rafty_types::SetId::first(token().cluster);
    let again = re_enrol(&newcomer, MemberId(9), rsa.public(), set, [5; 32], Vec::new());
    assert_eq!((again.replaced(), again.token_signature), (Some(MemberId(9)), Signature::default()));
    let signs = |bytes: &[u8]| newcomer.key().verify(bytes, &again.own_signature);
    assert!(signs(&again.statement.to_bytes_of_return(MemberId(9))));
    assert!(!signs(&again.statement.to_bytes_of_return(MemberId(8))), "another member");
    assert!(!signs(&again.statement.to_bytes()), "not a newcomer's");
    let elsewhere = rafty_types::EnrolmentStatement { exporter: [6; 32], ..again.statement.clone() };
    assert!(!signs(&elsewhere.to_bytes_of_return(MemberId(9))), "another connection");
}

proptest! {
    #[test]
    fn no_text_does_harm(text in "(rafty1-)?\\PC{0,200}") {
        prop_assert!(text.parse::<Token>().is_err());
    }
}
