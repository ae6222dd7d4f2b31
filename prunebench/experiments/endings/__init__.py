"""The figure or table that a recipe ends in: rows for the CSV file, figures, and the numbers papers print of them."""
