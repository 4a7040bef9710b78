//! A request for verdicts and its answer: an object for an object, an array for an array.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::federation::timestamp::Timestamp;
use crate::verify::verifier::Verifier;

use super::question::Question;
use super::verdict::Verdict;

/// One question, or up to [`MAX_QUESTIONS`].
pub(super) enum Asked<Q> {
    One(Box<Q>),
    Several(Vec<Q>),
}

/// As many verdicts, in the same order.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    One(Box<Verdict>),
    Several(Vec<Verdict>),
}

impl<Q: Question> Asked<Q> {
    /// What a question lacks, although it could be read.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Self::One(question) => question.check().map_err(str::to_owned),
            Self::Several(questions) => questions
                .iter()
                .enumerate()
                .try_for_each(|(index, question)| question.check().map_err(|what| format!("question {index}: {what}"))),
        }
    }

    pub(super) fn answer(&self, verifier: &Verifier, now: Timestamp) -> Answer {
        match self {
            Self::One(question) => Answer::One(Box::new(question.judge(verifier, now))),
            Self::Several(questions) => {
                Answer::Several(questions.iter().map(|it| it.judge(verifier, now).in_a_batch()).collect())
            }
        }
    }
}

/// Most questions of one request.
pub(super) const MAX_QUESTIONS: usize = 1000;

/// By hand, because whatever serde derives for a choice loses what is wrong with it.
impl<'de, Q: Question> Deserialize<'de> for Asked<Q> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Shape(PhantomData))
    }
}

struct Shape<Q>(PhantomData<Q>);

impl<'de, Q: Question> Visitor<'de> for Shape<Q> {
    type Value = Asked<Q>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a question, or an array of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Asked<Q>, A::Error> {
        Q::deserialize(MapAccessDeserializer::new(map)).map(|question| Asked::One(Box::new(question)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut questions: A) -> Result<Asked<Q>, A::Error> {
        let mut all = Vec::new();
        while let Some(question) = questions.next_element()? {
            if all.len() == MAX_QUESTIONS {
                return Err(A::Error::custom(format_args!("more than {MAX_QUESTIONS} questions in one request")));
            }
            all.push(question);
        }
        Ok(Asked::Several(all))
    }
}
