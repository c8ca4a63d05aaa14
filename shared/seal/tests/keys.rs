//! Which keys are taken, and that pairs come back from where they are kept.

mod fixture;

use fixture::*;
use rafty_seal::{Identity, KeyError, MODULUS_BITS, RsaKey, RsaPublic, seal};
use rafty_types::{Digest, PeerKey, Signature, is_rsa_public, rsa_public_der};
use rsa::pkcs1::EncodeRsaPublicKey;
use rsa::{BoxedUint, RsaPublicKey};
use std::io;

#[test]
fn an_identity_signs_and_comes_back_from_its_secret() {
    let identity = Identity::generate(&mut rng(1));
    let signature = identity.sign(b"hello");
    assert!(identity.key().verify(b"hello", &signature));
    assert!(!identity.key().verify(b"hallo", &signature));
    assert_eq!(Identity::from_secret_bytes(&identity.to_secret_bytes()).key(), identity.key());
    assert_ne!(Identity::generate(&mut rng(2)).key(), identity.key());
}

#[test]
fn ed25519_is_that_of_rfc_8032() {
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    // Section 7.1, test 1.
    let secret = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let identity = Identity::from_secret_bytes(&secret.try_into().unwrap());
    assert_eq!(identity.key(), PeerKey(public.try_into().unwrap()));
    assert_eq!(identity.sign(b"").to_bytes()[..8], hex("e5564300c360ac72"));
}

#[test]
fn tls_takes_the_identity() {
    let identity = Identity::generate(&mut rng(3));
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(identity.to_pkcs8_der().to_vec());
    let key = rustls::crypto::ring::sign::any_eddsa_type(&der).unwrap();
    let signer = rustls::sign::SigningKey::choose_scheme(&*key, &[rustls::SignatureScheme::ED25519]).unwrap();
    let signature = Signature::from_bytes(&signer.sign(b"hello").unwrap().try_into().unwrap());
    assert!(identity.key().verify(b"hello", &signature));
}

#[test]
fn a_pair_comes_back_from_its_bytes() {
    let key = RsaKey::generate(&mut rng(4));
    let again = RsaKey::from_der(&key.to_der()).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(again.to_der(), key.to_der());
    assert_eq!(RsaPublic::from_der(&key.public_der()).as_ref(), Ok(key.public()));
    assert_eq!(key.key_id(), Digest::of(&key.public_der()));
    assert_eq!(key.public_der().len(), MODULUS_BITS / 8 + 14);
    // OpenSSL writes the same document.
    let openssl = include_bytes!("keys/aggregator.der");
    assert_eq!(RsaKey::from_der(openssl).unwrap().to_der()[..], openssl[..]);
}

#[test]
fn secrets_do_not_show() {
    let (identity, key) = (identity(AGGREGATOR), rsa_key(AGGREGATOR));
    assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.key()));
    assert_eq!(format!("{key:?}"), format!("RsaKey({})", key.key_id().short()));
    assert_eq!(format!("{:?}", key.public()), format!("RsaPublic({})", key.key_id().short()));
}

#[test]
fn damaged_pairs_are_refused() {
    let der = rsa_key(AGGREGATOR).to_der();
    assert_eq!(RsaKey::from_der(b"").unwrap_err(), KeyError::Malformed);
    assert_eq!(RsaKey::from_der(&[0; 5000]).unwrap_err(), KeyError::OutOfBounds);
    assert!(RsaKey::from_der(&der[..der.len() - 1]).is_err());
    for at in (0..der.len()).step_by(53) {
        let mut damaged = der.to_vec();
        damaged[at] ^= 4;
        // What CRT values stand in the file is not believed but computed again.
        if let Ok(key) = RsaKey::from_der(&damaged) {
            assert_eq!(key.to_der(), der, "byte {at}");
        }
    }
}

/// Reads a key, of which every member must judge alike by its form.
fn parsed(der: &[u8]) -> Result<RsaPublic, KeyError> {
    let parsed = RsaPublic::from_der(der);
    assert_eq!(parsed.is_ok(), is_rsa_public(der), "{} bytes: {parsed:?}", der.len());
    parsed
}

/// A public key with `bits` of modulus; nobody knows its factors, so it only encrypts.
fn public_der(bits: u32, exponent: u64) -> Vec<u8> {
    let mut modulus = content(bits.div_ceil(8) as usize);
    modulus[0] = 0xff >> ((8 - bits % 8) % 8);
    *modulus.last_mut().unwrap() |= 1;
    let modulus = BoxedUint::from_be_slice(&modulus, bits.next_multiple_of(64)).unwrap();
    RsaPublicKey::new(modulus, BoxedUint::from(exponent)).unwrap().to_pkcs1_der().unwrap().into_vec()
}

#[test]
fn keys_of_others_are_bounded() {
    for bits in [2048, 2056, 3000, 3072, 4088, 4096] {
        let public = parsed(&public_der(bits, 65537)).unwrap();
        let recipients = [(AGGREGATOR, public)];
        let sealed = seal(
            label(b"x"),
            &recipients,
            &identity(PARTICIPANT),
            &mut &b"x"[..],
            &mut io::sink(),
            &mut rng(1),
        );
        let wrapped_len = sealed.unwrap().header().recipients[0].wrapped_key.len();
        assert_eq!(wrapped_len, bits as usize / 8, "{bits} bits");
    }
    for bits in [1024, 2040, 2047, 2049, 3071, 4097, 4104, 8192] {
        assert_eq!(parsed(&public_der(bits, 65537)), Err(KeyError::OutOfBounds), "{bits} bits");
    }
    for exponent in [3, 17, 65539] {
        assert_eq!(parsed(&public_der(3072, exponent)), Err(KeyError::OutOfBounds), "{exponent}");
    }
}

#[test]
fn a_public_key_has_exactly_one_form() {
    let der = public_der(3072, 65537);
    assert_eq!(parsed(&[&der[..], &[0]].concat()), Err(KeyError::Malformed));
    assert_eq!(parsed(&der[..der.len() - 1]), Err(KeyError::Malformed));
    assert_eq!(parsed(b""), Err(KeyError::Malformed));
    // The exponent with a zero in front, and the modulus with its length in three bytes instead of two.
    let [head, inner] = [&der[..2], &der[4..]];
    assert_eq!((head, der.len(), &inner[..4]), (&[0x30, 0x82][..], 398, &[0x02, 0x82, 0x01, 0x81][..]));
    let outer = |inner: &[u8]| [head, &(inner.len() as u16).to_be_bytes(), inner].concat();
    assert_eq!(outer(inner), der, "the test wraps as DER does");
    let padded = outer(&[&inner[..inner.len() - 5], &[0x02, 4, 0, 1, 0, 1]].concat());
    assert_eq!(parsed(&padded), Err(KeyError::Malformed));
    let long = outer(&[&[0x02, 0x83, 0, 1, 0x81], &inner[4..]].concat());
    assert_eq!(parsed(&long), Err(KeyError::Malformed));
    for (at, bit) in (0..der.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut damaged = der.clone();
        damaged[at] ^= 1 << bit;
        if let Ok(public) = parsed(&damaged) {
            assert_eq!(public.der(), damaged, "byte {at}");
        }
    }
    assert_eq!(parsed(&rsa_public_der(&[0xff; 384])).unwrap().der(), rsa_public_der(&[0xff; 384]));
    for len in 0..der.len() {
        assert!(parsed(&der[..len]).is_err(), "{len} bytes");
        assert!(parsed(&vec![0x30; len]).is_err(), "{len} bytes");
    }
}
