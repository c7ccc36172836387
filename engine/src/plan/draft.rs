//! A plan as its author gives it, before it is checked: positions are absolute, everything else is as it was written. The
//! order of its lists means nothing. Must never be read while seats are sold: a [`Plan`](super::Plan) is compiled from it.

/// A plan as its author gives it. No order of its lists has a meaning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanDraft {
    /// Width and height of the drawing, in its own units.
    pub size: (f32, f32),
    /// The price categories.
    pub categories: Vec<Category>,
    /// The sections (pretix: zones).
    pub sections: Vec<SectionDraft>,
    /// Where the stage is, if the author says so.
    pub stage: Option<Stage>,
    /// What else is drawn. One of these may be the stage; nothing else of them becomes part of the plan.
    pub areas: Vec<Area>,
}

/// A price category of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its name, unique within the plan; prices are given by it.
    pub name: String,
    /// A CSS colour; an empty one is chosen when the plan is compiled.
    pub color: String,
}

/// A section as its author gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SectionDraft {
    /// What a ticket calls it; may be empty.
    pub name: String,
    /// Its rows.
    pub rows: Vec<RowDraft>,
    /// How early its seats are given as the best: lower is better, none is after all that have one.
    pub priority: Option<i32>,
}

/// A row as its author gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowDraft {
    /// Its number or letter.
    pub label: String,
    /// Its seats.
    pub seats: Vec<SeatDraft>,
    /// What a ticket calls it instead of its number (pretix: `row_label`), the number already filled in.
    pub name: Option<String>,
    /// What a ticket calls its seats (pretix: `seat_label`); `%s` stands for the seat's number.
    pub seat_name: Option<String>,
    /// As the section's, for this row alone.
    pub priority: Option<i32>,
}

/// A seat as its author gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeatDraft {
    /// Its id in API answers, unique within the plan.
    pub id: String,
    /// Its number within its row.
    pub label: String,
    /// Position in the drawing, absolute.
    pub x: f32,
    /// Position in the drawing, absolute.
    pub y: f32,
    /// The name of its category.
    pub category: String,
    /// Whom it is for.
    pub kind: SeatKind,
    /// A name that it shares with the seat beside it, if the two are only sold together.
    pub pair: Option<String>,
}

/// Whom a seat is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum SeatKind {
    /// Everybody.
    #[default]
    Standard,
    /// Everybody, but the view is restricted: given as one of the best only when nothing better is left.
    RestrictedView,
    /// Companions of a person in a wheelchair.
    Companion,
    /// A place for a wheelchair.
    Wheelchair,
}

impl SeatKind {
    /// All kinds, the standard one first.
    pub const ALL: [Self; 4] = [Self::Standard, Self::RestrictedView, Self::Companion, Self::Wheelchair];

    /// The kind in API answers, plans and requests.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::RestrictedView => "RESTRICTED_VIEW",
            Self::Companion => "COMPANION",
            Self::Wheelchair => "WHEELCHAIR",
        }
    }

    /// The kind with that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// Where the stage is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stage {
    /// Position in the drawing.
    pub x: f32,
    /// Position in the drawing.
    pub y: f32,
    /// How it is known.
    pub source: StageSource,
}

/// How it is known where the stage is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StageSource {
    /// It was given along with the plan.
    Given,
    /// An area of the drawing is the stage.
    Area,
    /// It is assumed to lie where the rows face.
    Facing,
}

impl StageSource {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Given, Self::Area, Self::Facing];

    /// The source in API answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Given => "GIVEN",
            Self::Area => "AREA",
            Self::Facing => "FACING",
        }
    }

    /// The source of that word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.word() == word)
    }
}

/// Something that is drawn beside the seats.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Area {
    /// The middle of it.
    pub centre: (f32, f32),
    /// Its width and height, before it is turned; zero for words alone.
    pub extent: (f32, f32),
    /// What is written on it; may be empty.
    pub text: String,
}

/// Where in a draft: section, row and seat, as far down as it goes; none means the plan itself.
pub type PlanPath = Option<(usize, Option<(usize, Option<usize>)>)>;

/// Something wrong with a draft, wherever it is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanMistake {
    /// The member of the things at these places, such as `category`.
    pub member: &'static str,
    /// What is wrong, for the author.
    pub message: String,
    /// Every place where it is; never empty.
    pub places: Vec<MistakePlace>,
}

/// One place of a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MistakePlace {
    /// Where it is.
    pub at: PlanPath,
    /// The place that it contradicts, and what both have.
    pub other: Option<(PlanPath, String)>,
}

impl MistakePlace {
    /// A place that contradicts no other one.
    #[must_use]
    pub fn at(at: PlanPath) -> Self {
        Self { at, other: None }
    }
}
