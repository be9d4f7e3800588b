--- The modality that a SOP class says, where it says one (PS3.4 B.5, PS3.3 C.7.3.1.1.1).
-- Classes that any device may write (Secondary Capture, PDF, SR, presentation states of an image) are not here.
local M = {}

local P = "1.2.840.10008.5.1.4.1.1."

M.modality = {
  [P .. "1"] = "CR", [P .. "1.1"] = "DX", [P .. "1.1.1"] = "DX", [P .. "1.2"] = "MG", [P .. "1.2.1"] = "MG",
  [P .. "1.3"] = "IO", [P .. "1.3.1"] = "IO",
  [P .. "2"] = "CT", [P .. "2.1"] = "CT", [P .. "2.2"] = "CT",
  [P .. "3"] = "US", [P .. "3.1"] = "US", [P .. "6"] = "US", [P .. "6.1"] = "US", [P .. "6.2"] = "US",
  [P .. "4"] = "MR", [P .. "4.1"] = "MR", [P .. "4.2"] = "MR", [P .. "4.3"] = "MR", [P .. "4.4"] = "MR",
  [P .. "5"] = "NM", [P .. "20"] = "NM",
  [P .. "12.1"] = "XA", [P .. "12.1.1"] = "XA", [P .. "12.2"] = "RF", [P .. "12.2.1"] = "RF", [P .. "12.3"] = "XA",
  [P .. "13.1.1"] = "XA", [P .. "13.1.2"] = "DX", [P .. "13.1.3"] = "MG", [P .. "13.1.4"] = "MG", [P .. "13.1.5"] = "MG",
  [P .. "14.1"] = "IVOCT", [P .. "14.2"] = "IVOCT",
  [P .. "77.1.1"] = "ES", [P .. "77.1.1.1"] = "ES", [P .. "77.1.2"] = "GM", [P .. "77.1.2.1"] = "GM",
  [P .. "77.1.3"] = "SM", [P .. "77.1.4"] = "XC", [P .. "77.1.4.1"] = "XC",
  [P .. "77.1.5.1"] = "OP", [P .. "77.1.5.2"] = "OP", [P .. "77.1.5.4"] = "OPT", [P .. "77.1.6"] = "SM",
  [P .. "9.1.1"] = "ECG", [P .. "9.1.2"] = "ECG", [P .. "9.1.3"] = "ECG", [P .. "9.2.1"] = "HD", [P .. "9.3.1"] = "EPS",
  [P .. "78.1"] = "LEN", [P .. "78.2"] = "AR", [P .. "78.3"] = "KER", [P .. "78.4"] = "SRF", [P .. "78.5"] = "VA",
  [P .. "80.1"] = "OPV", [P .. "81.1"] = "OPM",
  [P .. "11.1"] = "PR", [P .. "11.2"] = "PR", [P .. "11.3"] = "PR", [P .. "11.4"] = "PR", [P .. "88.59"] = "KO",
  [P .. "66.4"] = "SEG", [P .. "66.1"] = "REG", [P .. "66.3"] = "REG", [P .. "67"] = "RWV",
  [P .. "128"] = "PT", [P .. "128.1"] = "PT", [P .. "130"] = "PT",
  [P .. "481.1"] = "RTIMAGE", [P .. "481.2"] = "RTDOSE", [P .. "481.3"] = "RTSTRUCT", [P .. "481.4"] = "RTRECORD",
  [P .. "481.5"] = "RTPLAN", [P .. "481.6"] = "RTRECORD", [P .. "481.7"] = "RTRECORD", [P .. "481.8"] = "RTPLAN",
  [P .. "481.9"] = "RTRECORD",
}

-- Terms in use for Modality, retired ones that archives hold included.
local known = "AR ASMT AU BDUS BI BMD CFM CR CT CTPROTOCOL DMS DG DOC DX ECG EEG EMG EOG EPS ES FID GM HC HD IO IOL IVOCT IVUS KER KO "
  .. "LEN LS MG MR M3D NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT PA PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT "
  .. "RTPLAN RTRAD RTRECORD RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC "
  .. "AS CD CF CP CS DD DF DM DS EC FA FS LP MA MS OPR ST VF"
M.known = {}
for term in known:gmatch("%S+") do M.known[term] = true end

return M
