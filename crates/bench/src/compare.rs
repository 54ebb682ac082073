//! Measures contenders against each other and computes their ratios.

use crate::measure::{Failure, Series, run_interleaved};
use crate::report::{FailedOne, Measured};
use crate::{Comparison, Contender, ContenderKind, Plan, Spread};

/// Measures the contenders interleaved. Blocks until all are measured.
///
/// If a contender fails, removes it and measures the others again from the start.
pub fn compare(
    plan: &Plan,
    mut contenders: Vec<(ContenderKind, Contender<'_>)>,
    mut settle: impl FnMut() -> Result<(), String>,
) -> (Vec<Measured>, Vec<FailedOne>) {
    let mut failed = Vec::new();
    loop {
        let (names, mut calls): (Vec<_>, Vec<_>) = contenders.into_iter().unzip();
        match run_interleaved(plan, &mut calls, &mut settle) {
            Ok(series) => {
                let is_careful =
                    |one: &FailedOne| one.contender.as_ref() == Some(&ContenderKind::Careful);
                let careful_failed = failed.iter().any(is_careful);
                return (results(names, &series, careful_failed), failed);
            }
            Err(Failure { contender: Some(index), reason }) => {
                failed.push(FailedOne { contender: Some(names[index].clone()), reason });
                contenders = names.into_iter().zip(calls).collect();
                drop(contenders.remove(index));
            }
            Err(Failure { contender: None, reason }) => {
                failed.push(FailedOne { contender: None, reason });
                return (Vec::new(), failed);
            }
        }
    }
}

/// Summarizes each series and compares it with the bare driver's and the backend's.
///
/// Without careful calls of their own, the bare calls are the careful ones, unless the careful calls failed.
fn results(names: Vec<ContenderKind>, series: &[Series], careful_failed: bool) -> Vec<Measured> {
    let of = |kind: ContenderKind| {
        let index = names.iter().position(|name| *name == kind)?;
        Some(series[index].ns.as_slice())
    };
    let (bare, ours) = (of(ContenderKind::Bare), of(ContenderKind::Ours));
    let careful = of(ContenderKind::Careful).map(|ns| (ns, ContenderKind::Careful));
    let instead = bare.filter(|_| !careful_failed).map(|ns| (ns, ContenderKind::Bare));
    let careful = careful.or(instead);
    let measured = names.iter().zip(series).filter_map(|(kind, Series { calls, ns })| {
        let compare_with = |other: Option<&[f64]>, same: ContenderKind| {
            other.filter(|_| *kind != same).and_then(|other| Comparison::of(ns, other))
        };
        Some(Measured {
            contender: kind.clone(),
            calls_per_batch: *calls,
            ns: Spread::of(ns.iter().copied())?,
            to_bare: compare_with(bare, ContenderKind::Bare),
            to_careful: careful.clone().and_then(|(ns, same)| compare_with(Some(ns), same)),
            to_ours: compare_with(ours, ContenderKind::Ours),
            ours_to_it: ours
                .filter(|_| *kind != ContenderKind::Ours)
                .and_then(|ours| Comparison::of(ours, ns))
                .map(|comparison| comparison.ratio),
            ours_ns: None,
        })
    });
    measured.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::result;

    fn fake(ns: u64) -> Contender<'static> {
        Box::new(move |calls| Ok(Duration::from_nanos(ns * calls)))
    }

    fn plan() -> Plan {
        Plan { batch: Duration::from_micros(10), ..Plan::USUAL }
    }

    #[test]
    fn ratios_divide_in_the_documented_direction() {
        let peer = ContenderKind::Peer("slow".into());
        let contenders = vec![
            (ContenderKind::Bare, fake(100)),
            (ContenderKind::Ours, fake(110)),
            (peer.clone(), fake(220)),
        ];
        let (results, failed) = compare(&plan(), contenders, || Ok(()));
        assert!(failed.is_empty());
        let ours = result(&results, &ContenderKind::Ours).unwrap();
        assert_eq!(ours.ns.count, 31);
        assert!((ours.to_bare.unwrap().ratio.median - 1.1).abs() < 1e-9);
        assert!((ours.to_bare.unwrap().difference.median - 10.0).abs() < 1e-9);
        assert!(ours.to_ours.is_none() && ours.ours_to_it.is_none());
        let slow = result(&results, &peer).unwrap();
        assert!((slow.to_ours.unwrap().ratio.median - 2.0).abs() < 1e-9);
        assert!((slow.ours_to_it.unwrap().median - 0.5).abs() < 1e-9);
        assert!(result(&results, &ContenderKind::Bare).unwrap().to_bare.is_none());
    }

    #[test]
    fn ratio_to_careful_calls_is_to_the_bare_ones_if_these_are_careful() {
        let contenders = |careful: Option<u64>| {
            let careful = careful.map(|ns| (ContenderKind::Careful, fake(ns)));
            let others = [(ContenderKind::Bare, fake(100)), (ContenderKind::Ours, fake(300))];
            others.into_iter().chain(careful).collect()
        };
        for (careful, expected) in [(Some(200), 1.5), (None, 3.0)] {
            let (results, _) = compare(&plan(), contenders(careful), || Ok(()));
            let ours = result(&results, &ContenderKind::Ours).unwrap();
            assert!((ours.to_careful.unwrap().ratio.median - expected).abs() < 1e-9);
            assert!((ours.to_bare.unwrap().ratio.median - 3.0).abs() < 1e-9);
            let bare = result(&results, &ContenderKind::Bare).unwrap();
            assert_eq!(bare.to_careful.is_some(), careful.is_some());
            if let Some(one) = result(&results, &ContenderKind::Careful) {
                assert!(one.to_careful.is_none() && one.to_bare.is_some());
            }
        }
    }

    /// The bare call must not stand for careful calls that failed.
    #[test]
    fn failed_careful_calls_have_no_ratio() {
        let broken: Contender<'_> = Box::new(|_| Err("error 900".into()));
        let contenders = vec![
            (ContenderKind::Bare, fake(100)),
            (ContenderKind::Careful, broken),
            (ContenderKind::Ours, fake(110)),
        ];
        let (results, failed) = compare(&plan(), contenders, || Ok(()));
        assert_eq!(failed.len(), 1);
        let ours = result(&results, &ContenderKind::Ours).unwrap();
        assert!(ours.to_bare.is_some() && ours.to_careful.is_none());
    }

    #[test]
    fn failing_contender_is_removed_and_named() {
        let broken: Contender<'_> = Box::new(|_| Err("error 700".into()));
        let contenders = vec![(ContenderKind::Bare, broken), (ContenderKind::Ours, fake(10))];
        let (results, failed) = compare(&plan(), contenders, || Ok(()));
        assert_eq!(
            failed,
            [FailedOne { contender: Some(ContenderKind::Bare), reason: "error 700".into() }]
        );
        assert_eq!(results.len(), 1);
        assert_eq!((&results[0].contender, results[0].to_bare), (&ContenderKind::Ours, None));
    }
}
