-- Where a hall's stage is (JSON; none for halls that are older), and what its author may want to look at (a list, as JSON).
ALTER TABLE halls ADD COLUMN stage TEXT;
ALTER TABLE halls ADD COLUMN warnings TEXT NOT NULL DEFAULT '[]';
