CREATE TABLE price (
  article text PRIMARY KEY,
  cents integer NOT NULL CHECK (cents > 0)
);
