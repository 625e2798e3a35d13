"""Files to arrays and back: pictures, masks, volumes, DICOM, videos."""
