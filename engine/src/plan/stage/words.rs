//! What a stage is called in a drawing. Must never know where anything lies.

/// How surely a text names the stage, the least sure first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Sureness {
    /// A word for a stage stands among others.
    Among,
    /// It says nothing else.
    Only,
}

/// Words for a stage, in small letters.
const STAGE: [&str; 37] = [
    "stage",
    "mainstage",
    "bühne",
    "buehne",
    "hauptbühne",
    "szene",
    "scène",
    "scene",
    "scena",
    "escena",
    "escenario",
    "palco",
    "palcoscenico",
    "toneel",
    "podium",
    "scen",
    "scenen",
    "näyttämö",
    "lava",
    "színpad",
    "jeviště",
    "javisko",
    "scenă",
    "σκηνή",
    "сцена",
    "sahne",
    "screen",
    "leinwand",
    "écran",
    "ecran",
    "pantalla",
    "schermo",
    "scherm",
    "tela",
    "estrade",
    "estrado",
    "tablado",
];
/// Words that are written together with others.
const STAGE_PARTS: [&str; 9] =
    ["무대", "스테이지", "스크린", "舞台", "ステージ", "スクリーン", "银幕", "銀幕", "bühne"];
/// With one of these a text names something beside the stage.
const BESIDE: [&str; 22] = [
    "backstage",
    "door",
    "doors",
    "entrance",
    "entry",
    "exit",
    "access",
    "eingang",
    "ausgang",
    "zugang",
    "entrée",
    "sortie",
    "entrada",
    "salida",
    "uscita",
    "ingresso",
    "뒤",
    "입구",
    "출입구",
    "출구",
    "view",
    "bar",
];

/// Whether a text names the stage.
pub(super) fn called_stage(text: &str) -> Option<Sureness> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_stage = |word: &&str| STAGE.contains(word) || STAGE_PARTS.iter().any(|part| word.contains(part));
    if words.iter().any(|word| BESIDE.contains(word) || word.ends_with("eingang")) || !words.iter().any(is_stage) {
        return None;
    }
    Some(if words.iter().all(is_stage) { Sureness::Only } else { Sureness::Among })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_known_by_its_name_in_any_case() {
        for text in [
            "Stage",
            "STAGE",
            "- stage -",
            "BÜHNE",
            "Hauptbühne",
            "무대",
            "메인무대",
            "Scène",
            "Palco",
            "舞台",
            "Сцена",
        ] {
            assert_eq!(called_stage(text), Some(Sureness::Only), "{text}");
        }
        for text in ["Main stage", "Screen 1", "Stage (open air)"] {
            assert_eq!(called_stage(text), Some(Sureness::Among), "{text}");
        }
        for text in ["", "Bar", "Backstage", "Stage door", "Bühneneingang", "무대 뒤", "Stagecoach", "Ausgang"] {
            assert_eq!(called_stage(text), None, "{text}");
        }
    }
}
