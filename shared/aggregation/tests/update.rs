//! The bytes of an update, and which updates are refused.

use proptest::prelude::*;
use rafty_aggregation::{Distance, NORM_FACTOR, UpdateMeta, decode_update, encode_update, update_len};
use rafty_types::{MAX_EXAMPLES, Metrics, Refusal};

const META: UpdateMeta = UpdateMeta {
    num_examples: 600,
    metrics: Metrics { examples: 100, correct: 97, loss_micros: 81_000, train_loss_micros: 75_000 },
};

fn check(base: &[f32], update: &[f32]) -> Result<(), Refusal> {
    let mut distance = Distance::default();
    base.iter().zip(update).for_each(|(base, weight)| distance.add(*base, *weight));
    distance.verdict()
}

/// What an update says, and its weights.
fn decode(bytes: &[u8], params: usize) -> Result<(UpdateMeta, Vec<f32>), Refusal> {
    decode_update(bytes, params).map(|update| (update.meta, update.weights().collect()))
}

#[test]
fn the_bytes_are_pinned() {
    let mut golden = b"rftyupd\x01".to_vec();
    for number in [600u64, 100, 97, 81_000, 75_000, 2] {
        golden.extend(number.to_le_bytes());
    }
    golden.extend([0x00, 0x00, 0x80, 0x3f, 0x00, 0x00, 0x00, 0xc0]); // 1, -2
    assert_eq!(encode_update(&META, &[1.0, -2.0]), golden);
    assert_eq!(golden.len(), update_len(2));
    assert_eq!(decode(&golden, 2), Ok((META, vec![1.0, -2.0])));
}

#[test]
fn refusals_have_their_names() {
    let bytes = encode_update(&META, &[1.0, 2.0, 3.0]);
    assert_eq!(decode(&bytes, 2), Err(Refusal::WrongShape));
    assert_eq!(decode(&bytes, usize::MAX), Err(Refusal::WrongShape));
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length], 3), Err(Refusal::Malformed), "cut to {length} bytes");
    }
    assert_eq!(decode(&[&bytes[..], &[0; 4]].concat(), 3), Err(Refusal::Malformed));
    let mut newer = bytes;
    newer[7] = 2;
    assert_eq!(decode(&newer, 3), Err(Refusal::Malformed));

    let with = |num_examples, examples, correct| {
        let metrics = Metrics { examples, correct, ..META.metrics };
        decode(&encode_update(&UpdateMeta { num_examples, metrics }, &[]), 0).map(|_| ())
    };
    assert_eq!(with(0, 0, 0), Err(Refusal::BadWeight));
    assert_eq!(with(MAX_EXAMPLES, MAX_EXAMPLES, MAX_EXAMPLES), Ok(()));
    assert_eq!(with(MAX_EXAMPLES + 1, 0, 0), Err(Refusal::BadWeight));
    assert_eq!(with(1, 5, 6), Err(Refusal::Malformed));
    assert_eq!(with(1, MAX_EXAMPLES + 1, 6), Err(Refusal::Malformed));
}

#[test]
fn an_update_is_held_against_its_base() {
    let base = [0.5, -0.5, 0.25, 0.0];
    assert_eq!(check(&base, &base), Ok(()));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(check(&base, &[0.5, bad, 0.25, 0.0]), Err(Refusal::NotFinite));
    }
    assert_eq!(check(&base, &[f32::MAX; 4]), Err(Refusal::OverNorm));
    assert_eq!(check(&[f32::MAX; 4], &[f32::MIN; 4]), Ok(()), "twice as far as the base is long");
    assert_eq!(check(&[], &[]), Ok(()));
}

#[test]
fn the_norm_bound_is_where_it_is_said_to_be() {
    let factor = NORM_FACTOR as f32;
    // From zeros: the root mean square may reach the factor itself.
    assert_eq!(check(&[0.0; 4], &[factor; 4]), Ok(()));
    assert_eq!(check(&[0.0; 4], &[factor * 1.001; 4]), Err(Refusal::OverNorm));
    assert_eq!(check(&[0.0; 4], &[2.0 * factor, 0.0, 0.0, 0.0]), Ok(()), "one weight may take it all");
    // From weights of root mean square 7: the square root of 50 times the factor.
    let far = 7.0 + 50f32.sqrt() * factor;
    assert_eq!(check(&[7.0; 4], &[far * 0.999; 4]), Ok(()));
    assert_eq!(check(&[7.0; 4], &[far * 1.001; 4]), Err(Refusal::OverNorm));
}

proptest! {
    #[test]
    fn a_round_trip_keeps_every_bit(bits in prop::collection::vec(any::<u32>(), 0..10_000), num_examples in 1..MAX_EXAMPLES) {
        let weights: Vec<f32> = bits.iter().copied().map(f32::from_bits).collect();
        let meta = UpdateMeta { num_examples, ..META };
        let (again, weights) = decode(&encode_update(&meta, &weights), bits.len()).unwrap();
        prop_assert_eq!(again, meta);
        prop_assert_eq!(weights.into_iter().map(f32::to_bits).collect::<Vec<_>>(), bits);
    }

    #[test]
    fn no_bytes_do_harm(mut bytes in prop::collection::vec(any::<u8>(), 0..200), with_magic: bool, params in 0usize..40) {
        if with_magic {
            bytes.splice(0..0, *b"rftyupd\x01");
        }
        if let Ok((meta, weights)) = decode(&bytes, params) {
            prop_assert_eq!(encode_update(&meta, &weights), bytes);
        }
    }
}
