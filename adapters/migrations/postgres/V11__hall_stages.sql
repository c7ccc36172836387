-- Where a hall's stage is (JSON; none for halls that are older), and what its author may want to look at (a list, as JSON).
ALTER TABLE halls ADD COLUMN stage text;
ALTER TABLE halls ADD COLUMN warnings text NOT NULL DEFAULT '[]';
