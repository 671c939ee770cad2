//! Ranges of an array that somebody has to itself.

use std::{cell::Cell, ops::Range, rc::Rc};

use crate::{
    deadline::Deadline,
    guarded::Guarded,
    primitive::Ordering::Relaxed,
    raw::{
        claims::{Mode, RawClaims},
        mutex::LockFault,
    },
    scene::{Death, deaths, schedules, shared, spawn},
};

/// The element at 1, which all these claims want.
const LEFT: Range<u64> = 0..2;
const RIGHT: Range<u64> = 1..3;

impl Guarded<RawClaims> {
    fn claim_and_count(&self, range: Range<u64>) {
        let index = self.machine.claim(range, Mode::Exclusive, Deadline::NEVER, || {}).unwrap();
        self.count();
        self.machine.release(index);
    }

    fn enter_and_count(&self, range: Range<u64>) {
        self.machine.enter(range, Mode::Exclusive, Deadline::NEVER, || {}).unwrap();
        self.count();
        self.machine.leave();
    }
}

/// Claims that overlap follow each other.
#[test]
fn a_claim_keeps_others_out() {
    schedules(|| {
        let guarded = Guarded::by(RawClaims::free());
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.claim_and_count(LEFT)
        });
        guarded.claim_and_count(RIGHT);
        other.join().unwrap();
        assert_eq!(guarded.look(), 2);
    });
}

/// So do a claim and an access to a single element.
#[test]
fn a_claim_keeps_accesses_out() {
    schedules(|| {
        let guarded = Guarded::by(RawClaims::free());
        let other = spawn({
            let guarded = guarded.clone();
            move || guarded.claim_and_count(LEFT)
        });
        guarded.enter_and_count(RIGHT);
        other.join().unwrap();
        assert_eq!(guarded.look(), 2);
    });
}

/// Claims that do not overlap wait for nobody.
#[test]
fn disjoint_claims_do_not_wait() {
    schedules(|| {
        let claims = shared(RawClaims::free());
        let mine = claims.claim(0..1, Mode::Exclusive, Deadline::NEVER, || {}).unwrap();
        let other = spawn({
            let claims = claims.clone();
            move || {
                let theirs = claims.claim(1..2, Mode::Exclusive, Deadline::NEVER, || {}).unwrap();
                assert_ne!(theirs, mine);
                claims.release(theirs);
            }
        });
        let wanted = claims.claim(0..1, Mode::Shared, Deadline::NEVER, || {});
        assert_eq!(wanted, Err(LockFault::OwnLock));
        other.join().unwrap();
        claims.release(mine);
    });
}

/// A claim ends with its holder.
#[test]
fn a_dead_holders_claim_has_ended() {
    deaths(Death::Marked, |victim| {
        let guarded = Guarded::by(RawClaims::free());
        let dying = victim.spawn({
            let guarded = guarded.clone();
            move || guarded.claim_and_count(LEFT)
        });
        guarded.claim_and_count(RIGHT);
        dying.join().unwrap();
        guarded.enter_and_count(RIGHT);
    });
}

/// Who dies while an element is half-written has the next one told, who puts the old value back.
#[test]
fn a_half_written_element_is_repaired() {
    deaths(Death::Marked, |victim| {
        let claims = shared(RawClaims::free());
        let half = Rc::new(Cell::new(false));
        let repair = |half: &Rc<Cell<bool>>, claims: &RawClaims| {
            if claims.undo.load(Relaxed) != 0 {
                half.set(false);
                claims.undo.store(0, Relaxed);
            }
        };
        let dying = victim.spawn({
            let (claims, half) = (claims.clone(), half.clone());
            move || {
                claims.enter(0..1, Mode::Exclusive, Deadline::NEVER, || {}).unwrap();
                claims.undo.store(1, Relaxed);
                half.set(true);
                // The last word of the element.
                half.set(false);
                claims.undo.store(0, Relaxed);
                claims.leave();
            }
        });
        for _ in 0..2 {
            claims.enter(0..1, Mode::Exclusive, Deadline::NEVER, || repair(&half, &claims)).unwrap();
            assert!(!half.get() && claims.undo.load(Relaxed) == 0);
            claims.leave();
        }
        dying.join().unwrap();
    });
}
