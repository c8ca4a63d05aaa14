//! Shares of one data set for several parties, as unlike as wanted. For demonstrations and experiments.

use crate::random::Random;

/// Deals examples to `parties` so that each has its own mix of classes, in the manner of Hsu, Qi and Brown 2019: a
/// party's mix is drawn from a Dirichlet distribution around the mix of the whole set, and its examples are drawn
/// by that mix without replacement. Small `alpha` (0.1) gives parties of a few classes, large (100) equal mixes.
///
/// `alpha` is the concentration of each of k equally frequent classes, as most experiments quote it; the paper's own
/// is the sum over all classes, k times as large.
///
/// Shares are disjoint, together complete, and their sizes differ by one at most; with more parties than examples
/// some are empty. The same seed gives the same shares on one machine. `alpha` is kept within 0.001 to 1,000,000.
pub fn split_dirichlet(labels: &[u32], parties: usize, alpha: f64, seed: u64) -> Vec<Vec<usize>> {
    let alpha = if alpha.is_nan() { 1.0 } else { alpha.clamp(1e-3, 1e6) };
    let mut left = positions_by_class(labels);
    for (class, positions) in left.iter_mut().enumerate() {
        Random::new(seed, class as u64).shuffle(positions);
    }
    let classes = left.len() as f64;
    let shares: Vec<f64> =
        left.iter().map(|class| classes * class.len() as f64 / labels.len() as f64).collect();
    (0..parties)
        .map(|party| {
            let mut random = Random::new(!seed, party as u64);
            let mix = dirichlet(&mut random, &shares, alpha);
            let size = labels.len() / parties + usize::from(party < labels.len() % parties);
            (0..size).map_while(|_| draw(&mut random, &mix, &mut left)).collect()
        })
        .collect()
}

fn positions_by_class(labels: &[u32]) -> Vec<Vec<usize>> {
    let mut classes: Vec<u32> = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    let mut positions = vec![Vec::new(); classes.len()];
    for (position, label) in labels.iter().enumerate() {
        if let Ok(class) = classes.binary_search(label) {
            positions[class].push(position);
        }
    }
    positions
}

/// One mix of classes. Logarithms are shifted so that the largest part is 1 before the sum is made 1: with a small
/// alpha every part alone may be too small for an `f64`.
fn dirichlet(random: &mut Random, shares: &[f64], alpha: f64) -> Vec<f64> {
    let logs: Vec<f64> = shares.iter().map(|share| random.ln_gamma_variate(alpha * share)).collect();
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let sum: f64 = parts.iter().sum();
    parts.into_iter().map(|part| part / sum).collect()
}

/// Draws an example by the mix from the classes that have some left; the last of these once the mix has no part of any.
fn draw(random: &mut Random, mix: &[f64], left: &mut [Vec<usize>]) -> Option<usize> {
    let open = |class: &usize| !left[*class].is_empty();
    let remaining: f64 = (0..mix.len()).filter(open).map(|class| mix[class]).sum();
    let mut point = random.unit() * remaining;
    let mut chosen = None;
    for class in (0..mix.len()).filter(open) {
        chosen = Some(class);
        if point < mix[class] {
            break;
        }
        point -= mix[class];
    }
    left[chosen?].pop()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_disjoint_complete_and_of_like_size(
            labels in prop::collection::vec(0u32..6, 0..200),
            parties in 1usize..12,
            alpha in prop::sample::select(vec![0.0, 0.001, 0.1, 0.5, 1.0, 100.0, f64::INFINITY, f64::NAN]),
            seed: u64,
        ) {
            let shares = split_dirichlet(&labels, parties, alpha, seed);
            prop_assert_eq!(&shares, &split_dirichlet(&labels, parties, alpha, seed));
            let sizes: Vec<usize> = shares.iter().map(Vec::len).collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
            let mut all: Vec<usize> = shares.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn small_alpha_gives_unlike_shares_and_large_alpha_like_ones() {
        let labels: Vec<u32> = (0..5_000).map(|position| position % 10).collect();
        let largest_part = |alpha| {
            let share = &split_dirichlet(&labels, 5, alpha, 3)[0];
            (0..10).map(|class| share.iter().filter(|at| labels[**at] == class).count()).max().unwrap()
        };
        assert!(largest_part(0.1) > 200);
        assert!(largest_part(1_000.0) < 130);
    }

    #[test]
    fn nothing_and_nobody_are_legal() {
        assert_eq!(split_dirichlet(&[], 2, 0.5, 1), vec![Vec::<usize>::new(); 2]);
        assert!(split_dirichlet(&[1, 2], 0, 0.5, 1).is_empty());
        assert_eq!(split_dirichlet(&[7], 3, 0.5, 1).iter().map(Vec::len).sum::<usize>(), 1);
    }
}
