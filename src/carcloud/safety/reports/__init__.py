"""What a data-protection officer hands to others: records, drafts and yearly numbers, made from what is in force."""
